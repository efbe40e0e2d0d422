// Gradient of pooled windows to their images: to the first largest value of every window, or with `average` to all
// alike.
//
//   x  (B, H, W, C)    f32  without `average`
//   dy (B, OH, OW, C)  f32
//   dx (B, H, W, C)    f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/pooling.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, c: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, sh: u32, sw: u32, ph: u32, pw: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(!average) @group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// Whether the value at (row, column), counted from the edge of the padding, is the first largest of a window.
@if(!average)
fn is_chosen(b: u32, down: u32, along: u32, row: u32, column: u32, channel: u32) -> bool {
  let own = x[((b * params.h + row - params.ph) * params.w + column - params.pw) * params.c + channel];
  for (var r = 0u; r < params.kh; r++) {
    let other_row = down * params.sh + r;
    if (other_row < params.ph || other_row >= params.h + params.ph) { continue; }
    for (var j = 0u; j < params.kw; j++) {
      let other = along * params.sw + j;
      if (other < params.pw || other >= params.w + params.pw) { continue; }
      let value = x[((b * params.h + other_row - params.ph) * params.w + other - params.pw) * params.c + channel];
      let before = other_row < row || (other_row == row && other < column);
      if (value > own || (before && value == own)) { return false; }
    }
  }
  return true;
}

@compute @workgroup_size(64)
fn pool_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let channel = i % params.c;
    let column = i / params.c % params.w + params.pw;
    let row = i / (params.c * params.w) % params.h + params.ph;
    let b = i / (params.c * params.w * params.h);
    var sum = 0.0;
    for (var r = 0u; r < params.kh && r <= row; r++) {
      let down = (row - r) / params.sh;
      if ((row - r) % params.sh != 0u || down >= params.oh) { continue; }
      for (var j = 0u; j < params.kw && j <= column; j++) {
        let along = (column - j) / params.sw;
        if ((column - j) % params.sw != 0u || along >= params.ow) { continue; }
        let d = dy[((b * params.oh + down) * params.ow + along) * params.c + channel];
        @if(average) sum += d / f32(params.kh * params.kw);
        @if(!average) if (is_chosen(b, down, along, row, column, channel)) { sum += d; }
      }
    }
    dx[i] = select(sum, dx[i] + sum, params.accumulate == 1u);
  }
}
