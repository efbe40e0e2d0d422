// Puts keys or values into a cache, each at its token's position.
//
//   x         (B * T, W)        f32
//   positions (B, T)            i32
//   cache     (B, capacity, W)  f32  in and out; positions outside it are dropped
//
// Checked in test/tensor/ops/kv-cache.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, w: u32, capacity: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read_write> cache: array<f32>;

@compute @workgroup_size(64)
fn cache_write(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.w;
    let position = positions[row];
    if (position < 0 || u32(position) >= params.capacity) { continue; }
    cache[((row / params.t) * params.capacity + u32(position)) * params.w + i % params.w] = x[i];
  }
}
