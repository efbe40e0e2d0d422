// Gradient of wgsl/key-value/pool.wgsl: every value gets the gradients of the rows that chose its key, in their order.
//
//   dy (N, V)         f32
//   place (N, C)      i32
//   dvalues (V, C, K) f32  out, or in and out: added with `accumulate` 1
//
// One lane an element of dvalues, so that there are no atomics; a key that no row chose gets exactly 0. Checked against
// finite differences in test/tensor/ops/key-value.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // V C K
  rows: u32,
  outputs: u32,
  heads: u32,
  keys: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<i32>;
@group(0) @binding(3) var<storage, read_write> dvalues: array<f32>;

@compute @workgroup_size(64)
fn pool_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let key = i32(i % params.keys);
    let head = i / params.keys % params.heads;
    let output = i / (params.keys * params.heads);
    var d = 0.0;
    for (var n = 0u; n < params.rows; n++) {
      if (place[n * params.heads + head] == key) { d += dy[n * params.outputs + output]; }
    }
    d /= f32(params.heads);
    if (params.accumulate == 0u) { dvalues[i] = d; } else { dvalues[i] += d; }
  }
}
