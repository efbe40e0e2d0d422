// Gradient of the entropy of rows of logits, which are read times `inverse`: -inverse p (log p + H) d of every output,
// p its probability, H the row's entropy and d the row's own gradient.
//
//   logits    (N, V)  f32
//   entropy   (N)     f32  as wgsl/distribution/row-entropy.wgsl left it
//   d_entropy (N)     f32
//   dx        (N, V)  f32  out, or in and out: added with `accumulate` 1
//
// One workgroup a row, or with `serial` one lane. Checked against finite differences in
// test/tensor/ops/distribution.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  v: u32,
  inverse: f32, // 1 / temperature
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> entropy: array<f32>;
@group(0) @binding(3) var<storage, read> d_entropy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn row_entropy_gradient(
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
  var sum = 0.0;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    sum += exact_exp(logits[start + i] * params.inverse - most);
  }
  sum = row_sum(sum, lane);
  if (!used) { return; }
  let log_sum = log(sum);
  let scale = params.inverse * d_entropy[row];
  for (var i = row_first(lane); i < params.v; i += row_step) {
    let log_p = logits[start + i] * params.inverse - most - log_sum;
    let p = exact_exp(log_p);
    let d = select(0.0, -scale * p * (log_p + entropy[row]), p > 0.0);
    if (params.accumulate == 0u) { dx[start + i] = d; } else { dx[start + i] += d; }
  }
}
