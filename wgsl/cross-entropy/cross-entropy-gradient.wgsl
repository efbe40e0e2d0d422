// Gradient of cross-entropy to the logits: d (softmax (1 + 2 z lse) - (1 - smoothing) onehot - smoothing / V), d the
// row's own gradient.
//
//   logits  (N, V)  f32
//   targets (N)     i32  negative: zeros
//   lse     (N, 2)  f32  as wgsl/cross-entropy/cross-entropy.wgsl left it
//   d_nll   (N)     f32
//   dx      (N, V)  f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/cross-entropy.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_exp;

struct Params { count: u32, v: u32, smoothing: f32, z: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> d_nll: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn cross_entropy_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let even = params.smoothing / f32(params.v);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.v;
    let target_id = targets[row];
    var d = 0.0;
    if (target_id >= 0 && u32(target_id) < params.v) {
      let most = lse[2u * row];
      let log_sum = lse[2u * row + 1u];
      d = exact_exp((logits[i] - most) - log_sum) * (1.0 + 2.0 * params.z * (most + log_sum)) - even;
      if (i % params.v == u32(target_id)) { d -= 1.0 - params.smoothing; }
      d *= d_nll[row];
    }
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
