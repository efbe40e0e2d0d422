// Dropout: zero with probability p, the rest divided by 1 - p. The mask is a function of key, seed and place, so it is
// not kept.
//
//   x (N)  f32
//   y (N)  f32  out, or in and out: added with `accumulate` 1
//
// Checked in test/tensor/ops/dropout.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::random::bernoulli;

struct Params { count: u32, threshold: u32, scale: f32, key: u32, seed: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn dropout(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let kept = bernoulli(vec4u(i), vec2u(params.key, params.seed), params.threshold).x;
    let value = select(0.0, x[i] * params.scale, kept);
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
