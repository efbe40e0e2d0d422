// Columns of a matrix in another order, or with `back` 1 put back from it.
//
//   x     (rows, columns)  f32
//   order (columns)        u32
//   y     (rows, columns)  f32  out: y[r, c] = x[r, order[c]]; with `back` y[r, order[c]] = x[r, c]
//
// Checked in test/compress/sweep.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { rows: u32, columns: u32, back: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn move_columns(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.rows * params.columns);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.columns * params.columns;
    let moved = row + order[i % params.columns];
    if (params.back == 0u) { y[i] = x[moved]; } else { y[moved] = x[i]; }
  }
}
