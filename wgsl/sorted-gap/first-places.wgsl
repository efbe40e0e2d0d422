// Where the largest values of sorted rows came from, as places that rows are read at.
//
//   order (N, P)   u32  of sort-rows.wgsl
//   places (N, K)  i32  out: K <= P
//
// One lane a place. Checked in test/tensor/ops/sorted-gap.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N K
  k: u32,
  p: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> places: array<i32>;

@compute @workgroup_size(64)
fn first_places(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    places[i] = i32(order[i / params.k * params.p + i % params.k]);
  }
}
