// Values of rows at places: y[n, k] = x[n, place[n, k]].
//
//   x (N, C)     f32
//   place (N, K) i32; outside of the row: 0 is taken
//   y (N, K)     f32  out
//
// One lane an element of y. Checked against f64 in test/tensor/ops/gather.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N K
  c: u32,
  k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn gather(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let column = place[i];
    let inside = column >= 0 && column < i32(params.c);
    y[i] = select(0.0, x[i / params.k * params.c + u32(max(column, 0))], inside);
  }
}
