// How far the other outputs are ahead of a row's label: the log of the sum of their exponentials, less the label's
// logit. -gap is the log-odds of the label, so its probability is sigmoid(-gap) and its cross-entropy softplus(gap),
// without the cancelling of either.
//
//   logits  (N, V)  f32
//   targets (N)     i32  negative: the row does not count
//   gaps    (N)     f32  out; -80 of a row that does not count: whatever grows with a gap vanishes there
//   lse     (N, 2)  f32  out: the largest of the other logits, and the log of their sum of exponentials beyond it
//
// One workgroup a row, or with `serial` one lane, two passes. Checked against f64 in
// test/tensor/ops/label-gap.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params { n: u32, v: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> gaps: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(64)
fn label_gap(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  let target_id = targets[select(0u, row, used)];
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    if (i32(i) != target_id) { most = max(most, logits[start + i]); }
  }
  most = row_max(most, lane);
  var sum = 0.0;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    if (i32(i) != target_id) { sum += exact_exp(logits[start + i] - most); }
  }
  sum = row_sum(sum, lane);
  if (!row_leads(lane) || !used) { return; }
  let log_sum = log(sum);
  lse[2u * row] = most;
  lse[2u * row + 1u] = log_sum;
  var gap = -80.0;
  if (target_id >= 0 && u32(target_id) < params.v) { gap = (most - logits[start + u32(target_id)]) + log_sum; }
  gaps[row] = gap;
}
