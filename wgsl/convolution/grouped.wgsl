// Convolution of images in groups: outputs of a group read the channels of the same group alone; with as many groups
// as channels every channel for itself.
//
//   x      (B, H, W, C)            f32
//   weight (O, C / G, KH, KW)      f32
//   y      (B, OH, OW, O)          f32  out
//
// One output per lane. Checked in test/tensor/ops/convolution.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, c: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, sh: u32, sw: u32, ph: u32, pw: u32,
  o: u32, groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn grouped(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let share = params.c / params.groups;
  let outputs = params.o / params.groups;
  for (var i = start + lane; i < end; i += LANES) {
    let out = i % params.o;
    let place = i / params.o;
    let b = place / (params.ow * params.oh);
    let first = out / outputs * share;
    var sum = 0.0;
    for (var r = 0u; r < params.kh; r++) {
      let row = place / params.ow % params.oh * params.sh + r;
      if (row < params.ph || row >= params.h + params.ph) { continue; }
      for (var j = 0u; j < params.kw; j++) {
        let column = place % params.ow * params.sw + j;
        if (column < params.pw || column >= params.w + params.pw) { continue; }
        let at = ((b * params.h + row - params.ph) * params.w + column - params.pw) * params.c + first;
        for (var k = 0u; k < share; k++) {
          sum = fma(weight[((out * share + k) * params.kh + r) * params.kw + j], x[at + k], sum);
        }
      }
    }
    y[i] = sum;
  }
}
