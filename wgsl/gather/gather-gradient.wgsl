// Gradient of wgsl/gather/gather.wgsl (and of row maxima): what was taken from a place goes back to it, in the order of
// the row.
//
//   dy (N, K)    f32
//   place (N, K) i32; outside of the row: took nothing
//   dx (N, C)    f32  out, or in and out: added with `accumulate` 1
//
// One lane an element of dx, so that a place that was taken twice needs no atomics. Checked against finite differences
// in test/tensor/ops/gather.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N C
  c: u32,
  k: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<i32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn gather_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let row = i / params.c;
    let column = i32(i % params.c);
    var d = 0.0;
    for (var j = row * params.k; j < (row + 1u) * params.k; j++) {
      if (place[j] == column) { d += dy[j]; }
    }
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
