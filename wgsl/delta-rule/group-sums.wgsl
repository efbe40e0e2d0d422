// Sums gradients over the heads that share a head of keys: of d, and with `written` of d + beta w.
//
//   d    (B * T, H * K)   f32
//   w    (B * T, H * K)   f32  only with `written`
//   beta (B * T, H)       f32  likewise
//   y    (B * T, Hk * K)  f32  out, or in and out: added with `accumulate` 1
//
// Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, heads: u32, key_heads: u32, dk: u32, accumulate: u32 } // count: B * T * Hk * K

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@if(written) @group(0) @binding(2) var<storage, read> w: array<f32>;
@if(written) @group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn group_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let share = params.heads / params.key_heads;
  for (var i = start + lane; i < end; i += LANES) {
    let column = i % params.dk;
    var sum = 0.0;
    for (var h = 0u; h < share; h++) {
      let head = i / params.dk * share + h;
      sum += d[head * params.dk + column];
      @if(written) sum += beta[head] * w[head * params.dk + column];
    }
    y[i] = select(sum, y[i] + sum, params.accumulate == 1u);
  }
}
