// Four neighbouring values of an input, in the storage type that the variant names (@if in_bf16, in_f16, or f32).

@if(in_bf16) import package::lib::bf16::unpack_bf16;
@if(in_f16) import package::lib::f16::unpack_f16;

@if(in_bf16 || in_f16) alias Operand = vec2u;
@if(!in_bf16 && !in_f16) alias Operand = vec4f;

fn load(p: Operand) -> vec4f {
  @if(in_bf16) return unpack_bf16(p);
  @if(in_f16) return unpack_f16(p);
  @if(!in_bf16 && !in_f16) return p;
}
