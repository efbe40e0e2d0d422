// Depthwise causal convolution and SiLU: y_i = silu(sum over m < K of w_m x_(i + m - K + 1)), every channel for itself.
// With `gradient` what the sum takes: d_i = dy_i silu'(sum_i). With `plain` the sum itself, without SiLU.
//
//   x         (B * T, C)     f32
//   weight    (C, K)         f32
//   positions (B * T)        i32  from 0 in each document; tokens of an earlier document count as 0
//   tail      (B, K - 1, C)  f32  only with `cached`: the tokens before the first
//   dy        (B * T, C)     f32  only with `gradient`
//   y         (B * T, C)     f32  out
//
// Checked in test/tensor/ops/causal-conv.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_sigmoid;

struct Params { count: u32, t: u32, c: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@if(cached) @group(0) @binding(4) var<storage, read> tail: array<f32>;
@if(gradient) @group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn convolve(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let before = i32(params.k) - 1;
  for (var at = start + lane; at < end; at += LANES) {
    let channel = at % params.c;
    let row = at / params.c;
    let i = i32(row % params.t);
    let first = i - positions[row];
    var sum = 0.0;
    for (var m = 0; m <= before; m++) {
      let j = i + m - before;
      if (j < first) { continue; }
      var value = 0.0;
      if (j >= 0) { value = x[at - u32(i - j) * params.c]; }
      @if(cached) if (j < 0) { value = tail[(row / params.t * u32(before) + u32(j + before)) * params.c + channel]; }
      sum = fma(weight[channel * params.k + u32(m)], value, sum);
    }
    @if(plain) y[at] = sum;
    @if(!plain) let share = exact_sigmoid(sum);
    @if(!plain && !gradient) y[at] = sum * share;
    @if(gradient) y[at] = dy[at] * share * (1.0 + sum * (1.0 - share));
  }
}
