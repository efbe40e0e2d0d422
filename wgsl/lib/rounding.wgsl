// Rounding of intermediates to a working dtype, for numbers that match a tool that computes in it (@if round_bf16,
// round_f16). Without either, the identity.

@if(round_bf16) import package::lib::bf16::round_bf16;
@if(round_f16) import package::lib::f16::round_f16;

fn rounded(x: vec4f) -> vec4f {
  @if(round_bf16) return round_bf16(x);
  @if(round_f16) return round_f16(x);
  @if(!round_bf16 && !round_f16) return x;
}
