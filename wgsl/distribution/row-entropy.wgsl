// Entropy of rows of logits, in nats, at the logits times `inverse`.
//
//   logits (N, V)    f32
//   entropy (N)      f32  out
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/distribution.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  v: u32,
  inverse: f32, // 1 / temperature
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> entropy: array<f32>;

@compute @workgroup_size(64)
fn row_entropy(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    most = max(most, logits[start + i] * params.inverse);
  }
  most = row_max(most, lane);
  var sums = vec2f();
  for (var i = row_first(lane); i < params.v; i += row_step) {
    let below = logits[start + i] * params.inverse - most;
    let e = exact_exp(below);
    sums += vec2f(e, select(0.0, e * below, e > 0.0));
  }
  sums = vec2f(row_sum(sums.x, lane), row_sum(sums.y, lane));
  if (row_leads(lane) && used) { entropy[row] = max(0.0, log(sums.x) - sums.y / sums.x); }
}
