// Sums over groups of columns of a matrix, and of its product with another.
//
//   a        (rows, columns)       f32
//   b        (rows, columns)       f32
//   products (rows, width, parts)  f32  out: sum of a b, at place `at` of the parts
//   sums     (rows, width, parts)  f32  out, @if sums: sum of b
//
// Groups are of columns that follow one another, the last may be shorter. One invocation a group. Checked against f64
// in test/compress/refit.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { rows: u32, columns: u32, group: u32, width: u32, parts: u32, at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> products: array<f32>;
@if(sums) @group(0) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn group_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let i = span_of(workgroup, workgroups) * LANES + lane;
  if (i >= params.rows * params.width) { return; }
  let row = i / params.width;
  let g = i % params.width;
  let end = row * params.columns + min(params.columns, (g + 1u) * params.group);
  var product = 0.0;
  var sum = 0.0;
  for (var k = row * params.columns + g * params.group; k < end; k++) {
    product += a[k] * b[k];
    sum += b[k];
  }
  products[i * params.parts + params.at] = product;
  @if(sums) sums[i * params.parts + params.at] = sum;
}
