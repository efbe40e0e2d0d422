// Numbers from 0 to 1 as codes of few bits, fine near 1 and coarse towards 0 (after the dynamic tree of Dettmers et
// al., ICLR 2022, https://arxiv.org/abs/2110.02861).
//
// Of a code of `bits` bits whose highest set bit is bit k, with f below it, the value is
//
//   10^-(bits - 1 - k) (0.1 + 0.9 (f + 1) / 2^k)
//
// and of code 0 it is 0. So each decade from 1 down has half as many codes as the one above it, the largest code is 1
// exactly, and the order of codes is that of values.

const TENTHS = array<f32, 9>(1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8);

fn code_value(code: u32, bits: u32) -> f32 {
  let k = firstLeadingBit(max(code, 1u));
  let below = f32(code - (1u << k) + 1u);
  return select(TENTHS[bits - 1u - k] * (0.1 + 0.9 * below / f32(1u << k)), 0.0, code == 0u);
}

// The nearest code of a number from 0 to 1.
fn code_of(x: f32, bits: u32) -> u32 {
  var e = 0u;
  while (e + 1u < bits && x <= TENTHS[e + 1u]) { e++; }
  let k = bits - 1u - e;
  let step = round(max(x / TENTHS[e] - 0.1, 0.0) / 0.9 * f32(1u << k));
  return (1u << k) + u32(step) - 1u;
}
