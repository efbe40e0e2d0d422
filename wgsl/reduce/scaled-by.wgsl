// A tensor times a number that is on the GPU, or given.
//
//   x (N)       f32
//   factor (1)  f32  with `given`, `scale` instead
//   y (N)       f32  out, or in and out: added with `accumulate` 1
//
// Checked against f64 in test/tensor/ops/reduce.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, scale: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@if(!given) @group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn scaled_by(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  var s = params.scale;
  @if(!given) s *= factor[0];
  for (var i = start + lane; i < end; i += LANES) {
    if (params.accumulate == 0u) { y[i] = s * x[i]; } else { y[i] += s * x[i]; }
  }
}
