// Columns of a matrix, copied out or put back.
//
//   x (N, from_width)  f32
//   y (N, to_width)    f32  out, or in and out: columns from `into` on of y become those from `first` on of x; added
//                           with `accumulate` 1
//
// Checked in test/tensor/ops/columns.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, columns: u32, from_width: u32, first: u32, to_width: u32, into: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn copy_columns(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.columns;
    let column = i % params.columns;
    let value = x[row * params.from_width + params.first + column];
    let at = row * params.to_width + params.into + column;
    if (params.accumulate == 0u) { y[at] = value; } else { y[at] += value; }
  }
}
