// What a convolution in groups gives back to its input.
//
//   dy     (B, OH, OW, O)      f32
//   weight (O, C / G, KH, KW)  f32
//   dx     (B, H, W, C)        f32  out, or in and out: added with `accumulate` 1
//
// One input per lane. Checked against finite differences in test/tensor/ops/convolution.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, c: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, sh: u32, sw: u32, ph: u32, pw: u32,
  o: u32, groups: u32, accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn grouped_input_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let share = params.c / params.groups;
  let outputs = params.o / params.groups;
  for (var i = start + lane; i < end; i += LANES) {
    let channel = i % params.c;
    let column = i / params.c % params.w + params.pw;
    let row = i / (params.c * params.w) % params.h + params.ph;
    let b = i / (params.c * params.w * params.h);
    let first = channel / share * outputs;
    var sum = 0.0;
    for (var r = 0u; r < params.kh && r <= row; r++) {
      let down = (row - r) / params.sh;
      if ((row - r) % params.sh != 0u || down >= params.oh) { continue; }
      for (var j = 0u; j < params.kw && j <= column; j++) {
        let along = (column - j) / params.sw;
        if ((column - j) % params.sw != 0u || along >= params.ow) { continue; }
        let place = ((b * params.oh + down) * params.ow + along) * params.o;
        for (var k = first; k < first + outputs; k++) {
          sum = fma(weight[((k * share + channel % share) * params.kh + r) * params.kw + j], dy[place + k], sum);
        }
      }
    }
    dx[i] = select(sum, dx[i] + sum, params.accumulate == 1u);
  }
}
