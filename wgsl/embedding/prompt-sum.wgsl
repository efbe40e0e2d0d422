// Sums of the tokens that rows begin with, which stay as they are while the rows go on.
//
//   x         (B * T, C) f32
//   positions (B * T)    i32  a row that does not begin at 0 keeps its sum; below 0: padding
//   sums      (B, C)     f32  in and out
//
// Checked in test/tensor/ops/prompt-sum.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, c: u32 } // count: B * C

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn prompt_sum(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let first = (i / params.c) * params.t;
    if (positions[first] != 0) { continue; }
    var sum = 0.0;
    for (var at = first; at < first + params.t; at++) {
      if (positions[at] >= 0) { sum += x[at * params.c + i % params.c]; }
    }
    sums[i] = sum;
  }
}
