// Scores of the experts and the k best of them, in falling order; of equal ones the lowest first.
//
//   logits  (N, E)  f32
//   bias    (E)     f32  under biased: added to the scores for the choice, not for the weights
//   lse     (N)     f32  out: log of the sum of exp(logits)
//   experts (N, k)  u32  out
//   weights (N, k)  f32  out: scale times the scores, with `normalize` divided by their sum over the k
//
// Scores are a softmax over all experts, or with `sigmoid` one by one. Under grouped the experts stand in groups of
// equal size, at most 32; only those of the `kept` best groups are chosen from. A group is worth its best expert, with
// `pairs` its best two together.
//
// One lane a token: E is small, and the passes over a row find it in the cache. Selection is by logits where nothing is
// added to them, so that no rounding makes equals of different ones. A row with NaN chooses experts that exist, with
// NaN weights. Checked against f64 in test/tensor/ops/moe.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32, e: u32, k: u32, groups: u32, kept: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@if(biased) @group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> experts: array<u32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;

// What experts are chosen by.
fn merit(at: u32, expert: u32) -> f32 {
  var value = logits[at];
  @if(sigmoid && (biased || pairs)) value = 1.0 / (1.0 + exp(-value));
  @if(biased) value += bias[expert];
  return value;
}

// A bit for every group that is chosen from.
@if(grouped)
fn kept_groups(start: u32) -> u32 {
  let size = params.e / params.groups;
  var kept = 0u;
  for (var round = 0u; round < params.kept; round++) {
    var best = -3.4e38;
    var at = 32u;
    for (var group = 0u; group < params.groups; group++) {
      if (((kept >> group) & 1u) == 1u) { continue; }
      var first = -3.4e38;
      var second = -3.4e38;
      for (var i = group * size; i < (group + 1u) * size; i++) {
        let x = merit(start + i, i);
        if (x > first) {
          second = first;
          first = x;
        } else { second = max(second, x); }
      }
      var worth = first;
      @if(pairs) if (size > 1u) { worth += second; }
      if (at == 32u || worth > best) {
        best = worth;
        at = group;
      }
    }
    kept |= 1u << at;
  }
  return kept;
}

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
  @if(grouped) let kept = kept_groups(start);
  @if(grouped) let size = params.e / params.groups;

  var chosen = 0.0;
  var value = 0.0;
  var expert = 0u;
  for (var slot = 0u; slot < params.k; slot++) {
    var found = false;
    var best = 0.0;
    var at = slot;
    for (var i = 0u; i < params.e; i++) {
      @if(grouped) if (((kept >> (i / size)) & 1u) == 0u) { continue; }
      let x = merit(start + i, i);
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
    @if(!sigmoid) let share = exp(logits[start + at] - most);
    @if(sigmoid) let share = 1.0 / (1.0 + exp(-logits[start + at]));
    chosen += share;
    weights[row * params.k + slot] = share;
  }
  @if(normalize && sigmoid) let whole = chosen + 1e-20;
  @if(normalize && !sigmoid) let whole = chosen;
  @if(!normalize && sigmoid) let whole = 1.0;
  @if(!normalize && !sigmoid) let whole = sum;
  for (var slot = 0u; slot < params.k; slot++) {
    weights[row * params.k + slot] = params.scale * (weights[row * params.k + slot] / whole);
  }
}
