// Softmax over the experts and the k likeliest of them, in falling order; of equal ones the lowest first.
//
//   logits  (N, E)  f32
//   lse     (N)     f32  out: log of the sum of exp(logits)
//   experts (N, k)  u32  out
//   weights (N, k)  f32  out: probabilities; with `normalize` divided by their sum over the k
//
// One lane a token: E is small, and the k passes over a row find it in the cache. Selection is by logits, so that no
// rounding of the softmax makes equals of different ones. A row with NaN chooses experts that exist, with NaN weights.
// Checked against f64 in test/tensor/ops/moe.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32, e: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> experts: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(64)
fn route(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups) * 64u + lane;
  if (row >= params.n) { return; }
  let start = row * params.e;
  var most = logits[start];
  for (var i = 1u; i < params.e; i++) { most = max(most, logits[start + i]); }
  var sum = 0.0;
  for (var i = 0u; i < params.e; i++) { sum += exp(logits[start + i] - most); }
  lse[row] = most + log(sum);

  var chosen = 0.0;
  var value = 0.0;
  var expert = 0u;
  for (var slot = 0u; slot < params.k; slot++) {
    var found = false;
    var best = 0.0;
    var at = slot;
    for (var i = 0u; i < params.e; i++) {
      let x = logits[start + i];
      let left = slot == 0u || x < value || (x == value && i > expert);
      if (left && (!found || x > best)) {
        found = true;
        best = x;
        at = i;
      }
    }
    value = best;
    expert = at;
    experts[row * params.k + slot] = at;
    let share = exp(logits[start + at] - most);
    chosen += share;
    weights[row * params.k + slot] = share;
  }
  @if(normalize) let whole = chosen;
  @if(!normalize) let whole = sum;
  for (var slot = 0u; slot < params.k; slot++) { weights[row * params.k + slot] /= whole; }
}
