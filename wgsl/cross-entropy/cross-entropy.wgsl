// Cross-entropy of rows of logits, and what metrics are made of.
//
//   logits  (N, V)  f32
//   targets (N)     i32  negative: the row does not count and gives 0
//   nll     (N)     f32  out: (1 - smoothing) (lse - x_target) + smoothing (lse - mean x) + z lse^2
//   lse     (N, 2)  f32  out: the largest logit, and the log of the sum of exponentials beyond it; apart, because their
//                        sum rounded
//                        would put the gradient of large logits off
//   argmax  (N)     u32  out, only with `score`: the lowest index of the largest logit
//   confidence (N)  f32  out, only with `score`: its probability
//   moments (N, 2)  f32  out, only with `moments`: mean and variance of log p under p; outputs of probability 0 add
//                        nothing
//
// One workgroup a row, or with `serial` one lane, two passes over it: the largest, then the sum; with `moments` a
// third, because squares less the square of the mean would cancel. Checked against f64 in
// test/tensor/ops/cross-entropy.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params { n: u32, v: u32, smoothing: f32, z: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> nll: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@if(score) @group(0) @binding(5) var<storage, read_write> argmax: array<u32>;
@if(score) @group(0) @binding(6) var<storage, read_write> confidence: array<f32>;
@if(moments) @group(0) @binding(7) var<storage, read_write> moments: array<f32>;

@compute @workgroup_size(64)
fn cross_entropy(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.v; i += row_step) { most = max(most, logits[start + i]); }
  most = row_max(most, lane);
  var sum = 0.0;
  @if(moments) var first = 0.0; // sum of e^below * below
  var level = 0.0; // mean of the logits; not looked at without smoothing, since masked ones are infinite
  for (var i = row_first(lane); i < params.v; i += row_step) {
    let x = logits[start + i];
    let e = exact_exp(x - most);
    sum += e;
    @if(moments) first += select(0.0, e * (x - most), e > 0.0);
    if (params.smoothing > 0.0) { level += x - most; }
  }
  sum = row_sum(sum, lane);
  level = row_sum(level, lane) / f32(params.v);
  @if(score) var best = 4294967295.0;
  @if(score) for (var i = row_first(lane); i < params.v; i += row_step) { if (logits[start + i] == most) { best = min(best, f32(i)); } }
  @if(score) best = -row_max(-best, lane);
  @if(moments) let centre = row_sum(first, lane) / sum;
  @if(moments) var second = 0.0;
  @if(moments) for (var i = row_first(lane); i < params.v; i += row_step) {
    let below = logits[start + i] - most;
    let e = exact_exp(below);
    second += select(0.0, e * (below - centre) * (below - centre), e > 0.0);
  }
  @if(moments) second = row_sum(second, lane);
  if (!row_leads(lane) || !used) { return; }
  let log_sum = log(sum);
  let whole = most + log_sum;
  lse[2u * row] = most;
  lse[2u * row + 1u] = log_sum;
  let target_id = targets[row];
  var loss = 0.0;
  if (target_id >= 0 && u32(target_id) < params.v) {
    let x = logits[start + u32(target_id)] - most;
    loss = log_sum - x;
    if (params.smoothing > 0.0) { loss += params.smoothing * (x - level); }
    if (params.z > 0.0) { loss += params.z * whole * whole; }
  }
  nll[row] = loss;
  @if(score) argmax[row] = u32(best);
  @if(score) confidence[row] = 1.0 / sum;
  @if(moments) moments[2u * row] = centre - log_sum;
  @if(moments) moments[2u * row + 1u] = second / sum;
}
