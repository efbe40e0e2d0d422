// Gradient of attention to its scores, in place over that to its probabilities: ds = p (dp - sum p dp).
//
//   p  (rows, T)  f32
//   dp (rows, T)  f32  in and out
//   delta (rows)  f32  only with `sums`, out: sum p dp
//
// One lane a row. Checked against finite differences in test/tensor/ops/attention.test.ts.

import package::lib::grid::span_of;

struct Params { rows: u32, t: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read_write> dp: array<f32>;
@if(sums) @group(0) @binding(3) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(64)
fn softmax_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups) * 64u + lane;
  if (row >= params.rows) { return; }
  let start = row * params.t;
  var sum = 0.0;
  for (var i = start; i < start + params.t; i++) { sum += p[i] * dp[i]; }
  for (var i = start; i < start + params.t; i++) { dp[i] = p[i] * (dp[i] - sum); }
  @if(sums) delta[row] = sum;
}
