// Gradient of wgsl/blocks/inverse.wgsl: dX = -Y^T dY Y^T of every matrix.
//
//   y (E, N, N)   f32  the inverses
//   dy (E, N, N)  f32
//   dx (E, N, N)  f32  out, or in and out: added with `accumulate` 1
//
// One lane an entry, N^2 products each: matrices are small. Checked against finite differences in
// test/tensor/ops/inverse.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // E N N
  n: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn inverse_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let n = params.n;
  for (var at = start + lane; at < min(start + SPAN, params.count); at += LANES) {
    let first = at / (n * n) * n * n;
    let a = at / n % n;
    let b = at % n;
    var d = 0.0;
    for (var i = 0u; i < n; i++) {
      var row = 0.0;
      for (var j = 0u; j < n; j++) { row += dy[first + i * n + j] * y[first + b * n + j]; }
      d -= y[first + i * n + a] * row;
    }
    if (params.accumulate == 0u) { dx[at] = d; } else { dx[at] += d; }
  }
}
