// y + sigma times standard normal values, a function of key, seed and place (Box and Muller).
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
fn add_noise(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  for (var i = start + lane; i < end; i += LANES) {
    let bits = random_bits(vec4u(2u * i, 2u * i + 1u, 0u, 0u), vec2u(params.key, params.seed));
    let u = (f32(bits.x >> 8u) + 0.5) * 5.9604645e-8; // in (0, 1)
    let v = f32(bits.y >> 8u) * 5.9604645e-8;
    y[i] += params.sigma * sqrt(-2.0 * log(u)) * cos(6.2831853 * v);
  }
}
