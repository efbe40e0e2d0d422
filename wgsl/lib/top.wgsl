// Membership in the k largest by magnitude, given the k-th one's magnitude bits and index: of equal magnitudes the lower
// index comes first. Magnitudes are compared as bits, which order as the non-negative numbers do.

fn magnitude_bits(x: vec4f) -> vec4u {
  return bitcast<vec4u>(x) & vec4u(0x7fffffffu);
}

fn in_top(bits: vec4u, index: vec4u, threshold: u32, last: u32) -> vec4<bool> {
  return (bits > vec4u(threshold)) | ((bits == vec4u(threshold)) & (index <= vec4u(last)));
}
