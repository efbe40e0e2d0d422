// Columns put into a matrix in the place of its own.
//
//   x     (R, K)  f32
//   place (K)     u32  columns, each once
//   y     (R, C)  f32  in and out
//
// Checked in test/tensor/ops/places.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, k: u32 } // count = R K

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn put_places(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) { y[i / params.k * params.c + place[i % params.k]] = x[i]; }
}
