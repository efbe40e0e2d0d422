// Rows of blocks, copied into blocks of another height, or sums of them.
//
//   x  f32  block b begins at row b * x_rows + x_first
//   y  f32  out, or in and out: row b * y_rows + y_first + r is the sum, over s < terms, of row r of block b of x, each
//           x_next rows further on; added with `accumulate` 1
//
// `count` is blocks * rows * width. Checked in test/tensor/ops/ahead.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, rows: u32, width: u32, x_rows: u32, x_first: u32, x_next: u32, terms: u32, y_rows: u32, y_first: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn copy_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let width = params.width;
  for (var i = start + lane; i < end; i += LANES) {
    let column = i % width;
    let row = (i / width) % params.rows;
    let block = i / width / params.rows;
    var sum = 0.0;
    for (var s = 0u; s < params.terms; s++) {
      sum += x[(block * params.x_rows + params.x_first + row + s * params.x_next) * width + column];
    }
    let at = (block * params.y_rows + params.y_first + row) * width + column;
    if (params.accumulate == 0u) { y[at] = sum; } else { y[at] += sum; }
  }
}
