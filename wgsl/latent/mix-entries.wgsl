// Entries of a cache, summed by a head's probabilities: their first R of W columns.
//
//   shares    (B * T, H, capacity)  f32
//   cache     (B, capacity, W)      f32
//   positions (B, T)                i32  a query sees the entries 0 ... its position; without any it gives 0
//   y         (B * T, H * R)        f32  out
//
// Checked against f64 in test/tensor/ops/latent.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, heads: u32, width: u32, rank: u32, capacity: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read> cache: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn mix_entries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var at = start + lane; at < end; at += LANES) {
    let column = at % params.rank;
    let query = at / params.rank; // of a row and a head
    let row = query / params.heads;
    let seen = min(u32(max(positions[row] + 1, 0)), params.capacity);
    let entries = row / params.t * params.capacity;
    var sum = 0.0;
    for (var key = 0u; key < seen; key++) {
      sum = fma(shares[query * params.capacity + key], cache[(entries + key) * params.width + column], sum);
    }
    y[at] = sum;
  }
}
