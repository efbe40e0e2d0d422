// A lower triangle with the order of rows and columns turned about: an upper one.
//
//   lower (N, N)  f32  what is above its diagonal is not read
//   upper (N, N)  f32  out: upper[i, j] = lower[N - 1 - i, N - 1 - j], and 0 below the diagonal
//
// Checked against f64 in test/tensor/linear-algebra/inverse-factor.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lower: array<f32>;
@group(0) @binding(2) var<storage, read_write> upper: array<f32>;

@compute @workgroup_size(64)
fn reverse_triangle(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let count = params.n * params.n;
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, count);
  for (var at = start + lane; at < end; at += LANES) {
    upper[at] = select(0.0, lower[count - 1u - at], at % params.n >= at / params.n);
  }
}
