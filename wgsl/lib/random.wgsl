// Counter-based random bits: a function of (key, index) alone, so a mask does not depend on chunks, order or sharding.
//
// Three rounds of multiply and shift with well-mixing constants (the family of Wellons' "triple32"), the key entering
// before the first and the second. Equidistribution and independence of neighbours are checked in
// test/wgsl/lib/random.test.ts.

fn random_bits(index: vec4u, key: vec2u) -> vec4u {
  var h = index ^ vec4u(key.x);
  h ^= h >> vec4u(17u);
  h *= 0xed5ad4bbu;
  h ^= h >> vec4u(11u);
  h += vec4u(key.y);
  h *= 0xac4c1b51u;
  h ^= h >> vec4u(15u);
  h *= 0x31848babu;
  h ^= h >> vec4u(14u);
  return h;
}

// True with probability threshold / 2^24; a threshold of 2^24 is always true.
fn bernoulli(index: vec4u, key: vec2u, threshold: u32) -> vec4<bool> {
  return vec4i(random_bits(index, key) >> vec4u(8u)) < vec4i(i32(threshold));
}
