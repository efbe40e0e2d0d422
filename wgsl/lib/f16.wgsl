// F16 in pairs, without the shader-f16 feature: two values per u32, the even one in the low half.
//
// Packing rounds by hand: WGSL's own pack2x16float leaves the rounding and the overflow to the driver.

fn unpack_f16(p: vec2u) -> vec4f {
  return vec4f(unpack2x16float(p.x), unpack2x16float(p.y));
}

// To nearest, ties to even, overflow to infinity, subnormals kept, every NaN becomes the quiet one.
fn f16_bits(x: vec4f) -> vec4u {
  let u = bitcast<vec4u>(x);
  let sign = (u >> vec4u(16u)) & vec4u(0x8000u);
  let a = u & vec4u(0x7fffffffu);
  // Normal results: rebias the exponent by 127 - 15 and round away 13 bits of the mantissa.
  let normal = (a - 0x38000000u + 0x0fffu + ((a >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u);
  // Subnormal results: adding 0.5 aligns the mantissa so that the unit of f32 addition is 2^-24; it rounds to even
  // itself.
  let small = bitcast<vec4u>(bitcast<vec4f>(a) + 0.5) - 0x3f000000u;
  var r = select(normal, small, a < vec4u(0x38800000u));
  r = select(r, vec4u(0x7c00u), a >= vec4u(0x477ff000u)); // 65520 and above
  r = select(r, vec4u(0x7e00u), a > vec4u(0x7f800000u));
  return sign | r;
}

fn pack_f16(x: vec4f) -> vec2u {
  let r = f16_bits(x);
  return vec2u(r.x | (r.y << 16u), r.z | (r.w << 16u));
}

fn round_f16(x: vec4f) -> vec4f {
  return unpack_f16(pack_f16(x));
}
