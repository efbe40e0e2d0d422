// What every token adds to a load-balancing loss beyond its value at balance: its weight times the sum over experts of
// how far the expert's load is above its part, times the expert's probability for the token. Near balance, the loss
// itself would leave few digits to its gradient.
//
//   logits  (N, E)     f32
//   excess  (rows, E)  f32  load over its part, less 1: a constant; row r is of the tokens r length to (r + 1) length
//   weights (N)        f32
//   norm    (N)        f32  out: log of the sum of exp(logits), with `sigmoid` of the sigmoids
//   y       (N)        f32  out
//
// Probabilities are a softmax, or with `sigmoid` the sigmoids over their sum. One lane a token. Checked against f64 in
// test/tensor/ops/balance.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32, e: u32, length: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> excess: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> norm: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn balance(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups) * 64u + lane;
  if (row >= params.n) { return; }
  let start = row * params.e;
  let loads = (row / params.length) * params.e;
  @if(!sigmoid) var most = logits[start];
  @if(!sigmoid) for (var i = 1u; i < params.e; i++) { most = max(most, logits[start + i]); }
  var whole = 0.0;
  var sum = 0.0;
  for (var i = 0u; i < params.e; i++) {
    @if(!sigmoid) let share = exp(logits[start + i] - most);
    @if(sigmoid) let share = 1.0 / (1.0 + exp(-logits[start + i]));
    whole += share;
    sum += excess[loads + i] * share;
  }
  @if(!sigmoid) norm[row] = most + log(whole);
  @if(sigmoid) norm[row] = log(whole);
  y[row] = weights[row] * (sum / whole);
}
