// y + sigma times the heads among 64 coins beyond half of them, a function of key, seed and place: of standard
// deviation 4 sigma, and near to normal. With a sigma of 18 bits every product is exact, so that the one rounding is
// that of the sum, fused or not: all GPUs give the same bits.
//
//   y (N)     f32  in and out
//
// Checked in test/run/training/perturbation.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::random::random_bits;

struct Params { n: u32, sigma: f32, key: u32, seed: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn add_coins(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let apart = params.key * 0x9e3779b9u; // a key alone would give one parameter the words of another, in another order
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  for (var i = start + lane; i < end; i += LANES) {
    let bits = random_bits(vec4u(2u * i, 2u * i + 1u, 0u, 0u), vec2u(params.key, params.seed + apart));
    let heads = i32(countOneBits(bits.x) + countOneBits(bits.y)) - 32;
    y[i] += params.sigma * f32(heads);
  }
}
