// What a depthwise causal convolution gives back to its input: dx_j = sum over m of w_m d_(j - m + K - 1).
//
//   d         (B * T, C)  f32  gradient of the sums, of wgsl/causal-conv/convolve.wgsl
//   weight    (C, K)      f32
//   positions (B * T)     i32  from 0 in each document
//   dx        (B * T, C)  f32  out, or in and out: added with `accumulate` 1
//
// Checked in test/tensor/ops/causal-conv.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, c: u32, k: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn input_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var at = start + lane; at < end; at += LANES) {
    let channel = at % params.c;
    let row = at / params.c;
    let j = row % params.t;
    var sum = 0.0;
    for (var after = 0u; after < params.k && j + after < params.t; after++) {
      if (positions[row + after] < i32(after)) { continue; } // a later document
      sum = fma(weight[(channel + 1u) * params.k - 1u - after], d[at + after * params.c], sum);
    }
    dx[at] = select(sum, dx[at] + sum, params.accumulate == 1u);
  }
}
