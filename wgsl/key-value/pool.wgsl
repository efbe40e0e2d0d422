// The mean of the values that heads chose: y[n, v] = 1 / C sum_c values[v, c, place[n, c]].
//
//   values (V, C, K) f32
//   place (N, C)     i32, below K
//   y (N, V)         f32  out
//
// One lane an element of y. Checked against f64 in test/tensor/ops/key-value.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N V
  outputs: u32,
  heads: u32,
  keys: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn pool(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let row = i / params.outputs * params.heads;
    let first = i % params.outputs * params.heads;
    var sum = 0.0;
    for (var c = 0u; c < params.heads; c++) { sum += values[(first + c) * params.keys + u32(place[row + c])]; }
    y[i] = sum / f32(params.heads);
  }
}
