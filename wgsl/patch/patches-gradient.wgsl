// Gradient of patches to their images: every pixel takes that of its one place.
//
//   dy (B * (H / size) * (W / size), C size^2) f32
//   dx (B, C, H, W)                            f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/patch.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, h: u32, w: u32, size: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn patches_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let size = params.size;
  let across = params.w / size;
  let down = params.h / size;
  for (var i = start + lane; i < end; i += LANES) {
    let column = i % params.w;
    let row = (i / params.w) % params.h;
    let channel = (i / (params.w * params.h)) % params.c;
    let b = i / (params.w * params.h * params.c);
    let tile = (b * down + row / size) * across + column / size;
    let within = (channel * size + row % size) * size + column % size;
    let d = dy[tile * params.c * size * size + within];
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
