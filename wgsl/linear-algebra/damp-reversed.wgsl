// A symmetric matrix in another order of its rows and columns, last ones first, with more on its diagonal.
//
//   matrix (N, N)  f32
//   order  (N)     u32
//   y      (N, N)  f32  out: y[i, j] = matrix[order[N - 1 - i], order[N - 1 - j]]; on the diagonal 1 where that is 0,
//                       and `damping` added
//
// Checked against f64 in test/tensor/linear-algebra/inverse-factor.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, damping: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> matrix: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn damp_reversed(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n * params.n);
  for (var at = start + lane; at < end; at += LANES) {
    let i = at / params.n;
    let j = at % params.n;
    let value = matrix[order[params.n - 1u - i] * params.n + order[params.n - 1u - j]];
    y[at] = select(value, select(value, 1.0, value == 0.0) + params.damping, i == j);
  }
}
