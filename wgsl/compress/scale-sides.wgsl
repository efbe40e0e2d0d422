// Scales the rows and columns of a matrix: y[r, c] = x[r, c] left[r] right[c].
//
//   x     (rows, columns)  f32
//   left  (rows)           f32  1 for all without `left`
//   right (columns)        f32
//   y     (rows, columns)  f32  out
//
// Checked against f64 in test/compress/input-scales.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@if(left) @group(0) @binding(2) var<storage, read> left: array<f32>;
@group(0) @binding(3) var<storage, read> right: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn scale_sides(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min((span + 1u) * SPAN, params.rows * params.columns);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    @if(!left) y[i] = x[i] * right[i % params.columns];
    @if(left) y[i] = x[i] * left[i / params.columns] * right[i % params.columns];
  }
}
