// Gradient of wgsl/moe/balance.wgsl, the loads held constant: dy p_e (weight excess_e - y), with `sigmoid` times
// 1 - sigmoid(logit).
//
//   logits   (N, E)     f32
//   excess   (rows, E)  f32
//   weights  (N)        f32
//   norm     (N)        f32  as wgsl/moe/balance.wgsl left it
//   y, dy    (N)        f32
//   d_logits (N, E)     f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/balance.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, e: u32, length: u32, accumulate: u32 } // count: N * E

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> excess: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> norm: array<f32>;
@group(0) @binding(5) var<storage, read> y: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_logits: array<f32>;

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
    let beyond = excess[(row / params.length) * params.e + i % params.e];
    @if(!sigmoid) let slope = exp(logits[i] - norm[row]);
    @if(sigmoid) let open = 1.0 / (1.0 + exp(-logits[i]));
    @if(sigmoid) let slope = open * (1.0 - open) * exp(-norm[row]);
    let d = dy[row] * slope * (weights[row] * beyond - y[row]);
    if (params.accumulate == 0u) { d_logits[i] = d; } else { d_logits[i] += d; }
  }
}
