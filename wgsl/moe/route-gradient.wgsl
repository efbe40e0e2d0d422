// From the gradient of the chosen experts' weights to the router's logits, the choice held constant. With D = sum of w
// dw over the k: p_e (dw_e - D), where p is the softmax over all experts and dw_e is 0 for those that were not chosen;
// with `normalize` w_e (dw_e - D) for the chosen ones and 0 for the others. Scores by `sigmoid` give w_e (1 - s_e)
// (dw_e - D) with `normalize` and w_e (1 - s_e) dw_e without, where s_e is the score. Weights are `scale` times what
// they would be, and D counts without it.
//
//   logits   (N, E)  f32
//   lse      (N)     f32  as wgsl/moe/route.wgsl left it
//   experts  (N, k)  u32
//   weights  (N, k)  f32
//   dw       (N, k)  f32
//   d_logits (N, E)  f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/moe.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, e: u32, k: u32, accumulate: u32, scale: f32 } // count: N * E

@group(0) @binding(0) var<uniform> params: Params;
@if(!normalize || sigmoid) @group(0) @binding(1) var<storage, read> logits: array<f32>;
@if(!normalize && !sigmoid) @group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> experts: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read> dw: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_logits: array<f32>;

@compute @workgroup_size(64)
fn route_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.e;
    let expert = i % params.e;
    var along = 0.0;
    var own = 0.0;
    var share = 0.0;
    for (var slot = row * params.k; slot < (row + 1u) * params.k; slot++) {
      along += weights[slot] * dw[slot];
      if (experts[slot] == expert) {
        own = dw[slot];
        share = weights[slot];
      }
    }
    along /= params.scale;
    @if(!normalize && !sigmoid) share = params.scale * exp(logits[i] - lse[row]);
    @if(sigmoid) share *= 1.0 / (1.0 + exp(logits[i]));
    @if(!normalize && sigmoid) along = 0.0;
    let d = share * (own - along);
    if (params.accumulate == 0u) { d_logits[i] = d; } else { d_logits[i] += d; }
  }
}
