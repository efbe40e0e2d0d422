// Positions further on; those below 0, which stand for padding, stay.
//
//   x (N)  i32
//   y (N)  i32  out
//
// Checked in test/tensor/ops/ahead.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, by: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;

@compute @workgroup_size(64)
fn shift(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    y[i] = select(x[i] + i32(params.by), x[i], x[i] < 0);
  }
}
