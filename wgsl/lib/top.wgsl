// Membership in the k largest by magnitude, given the k-th one's magnitude bits and index: of equal magnitudes the
// lower index comes first. Magnitudes are compared as bits, which order as the non-negative numbers do; as signed
// integers, which processors without unsigned comparisons compare in one step. No magnitude exceeds 0x7fffffff.

fn magnitude_bits(x: vec4f) -> vec4i {
  return bitcast<vec4i>(x) & vec4i(0x7fffffff);
}

fn in_top(bits: vec4i, index: vec4u, threshold: u32, last: u32) -> vec4<bool> {
  let cut = vec4i(i32(threshold));
  return (bits > cut) | ((bits == cut) & (index <= vec4u(last)));
}
