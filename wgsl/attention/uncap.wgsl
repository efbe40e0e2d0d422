// Gradient of attention to its scores before their soft cap, in place over that after it: d = d (1 - tanh^2), where
// cap tanh(score / cap) is log p + lse of the probability p that came of it.
//
//   p   (rows, T)  f32  a probability of 0 has no gradient
//   lse (rows)     f32
//   d   (rows, T)  f32  in and out
//
// Checked against finite differences in test/tensor/ops/attention.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, cap: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(64)
fn uncap(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let turn = (log(max(p[i], 1.0e-38)) + lse[i / params.t]) / params.cap;
    d[i] = select(0.0, d[i] * (1.0 - turn) * (1.0 + turn), p[i] > 0.0);
  }
}
