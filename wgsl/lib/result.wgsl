// Four neighbouring values of an output, in the storage type that the variant names (@if out_bf16, out_f16, or f32).

@if(out_bf16) import package::lib::bf16::pack_bf16;
@if(out_f16) import package::lib::f16::pack_f16;

@if(out_bf16 || out_f16) alias Result = vec2u;
@if(!out_bf16 && !out_f16) alias Result = vec4f;

fn store(x: vec4f) -> Result {
  @if(out_bf16) return pack_bf16(x);
  @if(out_f16) return pack_f16(x);
  @if(!out_bf16 && !out_f16) return x;
}
