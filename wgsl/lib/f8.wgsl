// F8 in fours: E4M3 (the "fn" form: no infinities, NaN is 0x7f and 0xff) and E5M2 (IEEE-like), one value per byte,
// lowest first.

fn bytes_of(p: u32) -> vec4u {
  return vec4u(p, p >> 8u, p >> 16u, p >> 24u) & vec4u(0xffu);
}

fn unpack_e4m3(p: u32) -> vec4f {
  let b = bytes_of(p);
  let sign = (b & vec4u(0x80u)) << vec4u(24u);
  let a = b & vec4u(0x7fu);
  let normal = (a << vec4u(20u)) + (120u << 23u); // rebias the exponent by 127 - 7
  let small = bitcast<vec4u>(vec4f(a) * 0x1p-9);
  var r = select(normal, small, a < vec4u(8u));
  r = select(r, vec4u(0x7fc00000u), a == vec4u(0x7fu));
  return bitcast<vec4f>(sign | r);
}

// The upper half of an F16.
fn unpack_e5m2(p: u32) -> vec4f {
  let b = bytes_of(p);
  return vec4f(unpack2x16float((b.x << 8u) | (b.y << 24u)), unpack2x16float((b.z << 8u) | (b.w << 24u)));
}
