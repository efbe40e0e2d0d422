// Scores of queries with the one key of all heads that a cache holds for each token.
//
//   q         (B * T, H * W)    f32
//   cache     (B, capacity, W)  f32
//   positions (B, T)            i32  a query sees the entries 0 ... its position
//   scores    (B * T, H, capacity)  f32  out: scale q k^T; entries beyond stay as they are
//
// Checked against f64 in test/tensor/ops/latent.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, heads: u32, width: u32, capacity: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> cache: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(64)
fn scores_of(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var at = start + lane; at < end; at += LANES) {
    let key = at % params.capacity;
    let query = at / params.capacity; // of a row and a head
    let row = query / params.heads;
    if (i32(key) > positions[row]) { continue; }
    let entry = (row / params.t * params.capacity + key) * params.width;
    var sum = 0.0;
    for (var i = 0u; i < params.width; i++) { sum = fma(q[query * params.width + i], cache[entry + i], sum); }
    scores[at] = params.scale * sum;
  }
}
