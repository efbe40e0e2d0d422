// Images cut into square patches, each a row of channel, row and column of its pixels, as a convolution's weight is
// laid out.
//
//   x (B, C, H, W)                            f32
//   y (B * (H / size) * (W / size), C size^2) f32  out
//
// Checked in test/tensor/ops/patch.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, h: u32, w: u32, size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn patches(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let across = params.w / params.size;
  let down = params.h / params.size;
  let area = params.size * params.size;
  for (var i = start + lane; i < end; i += LANES) {
    let within = i % (params.c * area);
    let tile = i / (params.c * area);
    let channel = within / area;
    let row = (within % area) / params.size + (tile / across) % down * params.size;
    let column = within % params.size + tile % across * params.size;
    let b = tile / (across * down);
    y[i] = x[((b * params.c + channel) * params.h + row) * params.w + column];
  }
}
