// Adds one tensor into another, or copies it there.
//
//   x (N)  f32
//   y (N)  f32  in and out: x, or y + x when `accumulate` is 1
//
// Checked against f64 in test/tensor/recorder.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn add_into(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN * 4u;
  let end = min(start + SPAN * 4u, params.n);
  for (var i = start + lane; i < end; i += LANES) {
    if (params.accumulate == 0u) { y[i] = x[i]; } else { y[i] += x[i]; }
  }
}
