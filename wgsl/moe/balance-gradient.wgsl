// Gradient of wgsl/moe/balance.wgsl: dy p_e (scale (count_e - even) - y), the experts' slots held constant.
//
//   logits   (N, E)   f32
//   lse      (N)      f32
//   offsets  (E + 1)  u32
//   y, dy    (N)      f32
//   d_logits (N, E)   f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/moe.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, e: u32, even: f32, scale: f32, accumulate: u32 } // count: N * E

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read> y: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_logits: array<f32>;

@compute @workgroup_size(64)
fn balance_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.e;
    let expert = i % params.e;
    let p = exp(logits[i] - lse[row]);
    let beyond = f32(offsets[expert + 1u] - offsets[expert]) - params.even;
    let d = dy[row] * p * (params.scale * beyond - y[row]);
    if (params.accumulate == 0u) { d_logits[i] = d; } else { d_logits[i] += d; }
  }
}
