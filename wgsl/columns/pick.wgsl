// Values of a matrix at rows and columns, or zeros.
//
//   x       (R, source_width)  f32
//   rows    (count / width)    i32  the row of x that stands at each row of y; -1: zeros
//   columns (width)            i32  as rows
//   y       (.., width)        f32  out, or in and out: added with `accumulate` 1
//
// The gradient of a pick whose rows and columns come once each is the pick of dy at the places turned round.
// Checked in test/tensor/ops/pick.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, width: u32, source_width: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<i32>;
@group(0) @binding(3) var<storage, read> columns: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn pick(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = rows[i / params.width];
    let column = columns[i % params.width];
    var value = 0.0;
    if (row >= 0 && column >= 0) { value = x[u32(row) * params.source_width + u32(column)]; }
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
