// Fills with zeros, unless what is there shall be added to.
//
//   y (N)  f32  out; left alone when `accumulate` is 1
//
// Checked in test/tensor/ops/embedding.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn zero(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  if (params.accumulate == 1u) { return; }
  let start = span_of(group, groups) * SPAN * 4u;
  let end = min(start + SPAN * 4u, params.count);
  for (var i = start + lane; i < end; i += LANES) { y[i] = 0.0; }
}
