// Running statistics follow those of a batch: running += momentum (scale x - running), in place.
//
//   x (N)        f32
//   momentum (1) f32
//   running (N)  f32  in and out
//
// One lane an element. Checked against f64 in test/tensor/ops/batch-norm.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  n: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> momentum: array<f32>;
@group(0) @binding(3) var<storage, read_write> running: array<f32>;

@compute @workgroup_size(64)
fn follow(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.n); i += LANES) {
    running[i] += momentum[0] * (params.scale * x[i] - running[i]);
  }
}
