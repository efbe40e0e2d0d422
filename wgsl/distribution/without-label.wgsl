// Rows in which the label's value is another number: a distribution over all other outputs where it is very low, or
// the gradient of such rows where it is 0.
//
//   x (N, V)      f32
//   targets (N)   i32  negative: copied
//   y (N, V)      f32  out, or in and out: added with `accumulate` 1
//
// One lane an element of y. Checked against f64 in test/tensor/ops/distribution.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N V
  v: u32,
  label: f32,
  accumulate: u32, // 1: added to what y holds
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn without_label(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let value = select(x[i], params.label, i32(i % params.v) == targets[i / params.v]);
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
