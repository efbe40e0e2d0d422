// Inner products of the vectors of each row with one another.
//
//   x        (N, M, C)  f32
//   products (N, M, M)  f32  out
//
// Checked against f64 in test/tensor/ops/row-gram.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, m: u32, c: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> products: array<f32>;

@compute @workgroup_size(64)
fn inner_products(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let m = params.m;
  for (var at = start + lane; at < end; at += LANES) {
    let row = at / (m * m);
    let first = (row * m + at / m % m) * params.c;
    let second = (row * m + at % m) * params.c;
    var sum = 0.0;
    for (var i = 0u; i < params.c; i++) { sum += x[first + i] * x[second + i]; }
    products[at] = sum;
  }
}
