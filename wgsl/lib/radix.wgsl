// Keys whose order as unsigned integers is that of f32 values, and their digits, for selection by counting digits.

const BINS = 2048u;

// -inf < ... < -0 < +0 < ... < +inf.
fn ordered_key(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

// The digit of a key that begins with `prefix` (under `mask`); BINS for any other key.
fn digit(key: u32, mask: u32, prefix: u32, shift: u32) -> u32 {
  return select(BINS, (key >> shift) & (BINS - 1u), (key & mask) == prefix);
}
