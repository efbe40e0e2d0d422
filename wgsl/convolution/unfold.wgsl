// Windows of images as rows, each the values of channel, row and column of a window, as a convolution's weight is laid
// out; 0 beyond the edge.
//
//   x (B, H, W, C)                  f32
//   y (B * OH * OW, C * KH * KW)    f32  out
//
// Checked in test/tensor/ops/convolution.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, c: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, sh: u32, sw: u32, ph: u32, pw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn unfold(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let area = params.kh * params.kw;
  let width = params.c * area;
  for (var i = start + lane; i < end; i += LANES) {
    let within = i % width;
    let place = i / width;
    let channel = within / area;
    let b = place / (params.ow * params.oh);
    // Counted from the edge of the padding.
    let row = place / params.ow % params.oh * params.sh + within % area / params.kw;
    let column = place % params.ow * params.sw + within % params.kw;
    var value = 0.0;
    if (row >= params.ph && row < params.h + params.ph && column >= params.pw && column < params.w + params.pw) {
      value = x[((b * params.h + row - params.ph) * params.w + column - params.pw) * params.c + channel];
    }
    y[i] = value;
  }
}
