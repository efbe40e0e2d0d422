// The largest value of every window of images, each channel for itself; with `average` the sum over the window's size,
// in which places beyond the edge are 0.
//
//   x (B, H, W, C)    f32
//   y (B, OH, OW, C)  f32  out
//
// Checked in test/tensor/ops/pooling.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, c: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, sh: u32, sw: u32, ph: u32, pw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn pool(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let channel = i % params.c;
    let place = i / params.c;
    let b = place / (params.ow * params.oh);
    var most = -3.4028234e38;
    var sum = 0.0;
    for (var r = 0u; r < params.kh; r++) {
      let row = place / params.ow % params.oh * params.sh + r;
      if (row < params.ph || row >= params.h + params.ph) { continue; }
      for (var j = 0u; j < params.kw; j++) {
        let column = place % params.ow * params.sw + j;
        if (column < params.pw || column >= params.w + params.pw) { continue; }
        let value = x[((b * params.h + row - params.ph) * params.w + column - params.pw) * params.c + channel];
        most = max(most, value);
        sum += value;
      }
    }
    @if(average) y[i] = sum / f32(params.kh * params.kw);
    @if(!average) y[i] = most;
  }
}
