// The gradient of inner products of the vectors of each row: dx_i = sum over j of (d_ij + d_ji) x_j.
//
//   x  (N, M, C)  f32
//   d  (N, M, M)  f32
//   dx (N, M, C)  f32  out, or in and out: with `accumulate` 1 added
//
// Checked against f64 in test/tensor/ops/row-gram.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, m: u32, c: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> d: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn product_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let m = params.m;
  for (var at = start + lane; at < end; at += LANES) {
    let column = at % params.c;
    let i = at / params.c % m;
    let row = at / params.c / m;
    var sum = 0.0;
    for (var j = 0u; j < m; j++) {
      let both = d[(row * m + i) * m + j] + d[(row * m + j) * m + i];
      sum += both * x[(row * m + j) * params.c + column];
    }
    if (params.accumulate == 0u) { dx[at] = sum; } else { dx[at] += sum; }
  }
}
