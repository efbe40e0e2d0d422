// BF16 in pairs: two values per u32, the even one in the low half, as safetensors stores them.

fn unpack_bf16(p: vec2u) -> vec4f {
  return bitcast<vec4f>(vec4u(p.x << 16u, p.x & 0xffff0000u, p.y << 16u, p.y & 0xffff0000u));
}

// To nearest, ties to even; every NaN becomes the quiet one. The 16 bits lie in the low half of each component.
fn bf16_bits(x: vec4f) -> vec4u {
  let u = bitcast<vec4u>(x);
  let rounded = (u + 0x7fffu + ((u >> vec4u(16u)) & vec4u(1u))) >> vec4u(16u);
  return select(rounded, vec4u(0x7fc0u), (u & vec4u(0x7fffffffu)) > vec4u(0x7f800000u));
}

fn pack_bf16(x: vec4f) -> vec2u {
  let r = bf16_bits(x);
  return vec2u(r.x | (r.y << 16u), r.z | (r.w << 16u));
}

fn round_bf16(x: vec4f) -> vec4f {
  return bitcast<vec4f>(bf16_bits(x) << vec4u(16u));
}
