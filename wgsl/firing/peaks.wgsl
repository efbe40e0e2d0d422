// The largest magnitude of each column over the rows of a group.
//
//   x  (G T, C)  f32
//   y  (G, C)    f32  out: max over the T neighbouring rows of a group of |x|
//
// Checked in test/tensor/ops/top-mass.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, t: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn peaks(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let first = (i / params.c) * params.t * params.c + i % params.c;
    var most = 0.0;
    for (var row = 0u; row < params.t; row++) { most = max(most, abs(x[first + row * params.c])); }
    y[i] = most;
  }
}
