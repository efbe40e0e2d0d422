// Log decays of the gated delta rule: g = -e^a softplus(x + bias), and its way back.
//
//   x    (N, H)  f32
//   a    (H)     f32  logarithm of the rate
//   bias (H)     f32
//   d_g  (N, H)  f32  only with `gradient`
//   g    (N, H)  f32  out; not with `gradient`
//   d_x  (N, H)  f32  only with `gradient`, out: the gradient of x, and of bias before the sum over rows
//   d_a  (N, H)  f32  likewise, of a before that sum
//
// Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::{exact_exp, exact_log1p, exact_sigmoid};

struct Params { count: u32, heads: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@if(gradient) @group(0) @binding(4) var<storage, read> d_g: array<f32>;
@if(!gradient) @group(0) @binding(5) var<storage, read_write> g: array<f32>;
@if(gradient) @group(0) @binding(6) var<storage, read_write> d_x: array<f32>;
@if(gradient) @group(0) @binding(7) var<storage, read_write> d_a: array<f32>;

@compute @workgroup_size(64)
fn gates(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let head = i % params.heads;
    let u = x[i] + bias[head];
    let rate = -exact_exp(a[head]);
    let soft = max(u, 0.0) + exact_log1p(exact_exp(-abs(u)));
    @if(!gradient) g[i] = rate * soft;
    @if(gradient) d_x[i] = d_g[i] * rate * exact_sigmoid(u);
    @if(gradient) d_a[i] = d_g[i] * rate * soft;
  }
}
