// Every value repeated along rows: what the gradient of a sum is.
//
//   x (N)     f32
//   y (N, C)  f32  out, or in and out: scale * x of the row, added with `accumulate` 1
//
// Checked against f64 in test/tensor/ops/reduce.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, scale: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn spread(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let value = params.scale * x[i / params.c];
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
