// Probabilities out of scores over a cache, in place: exp(s - max) / sum over the entries 0 ... the query's position.
//
//   positions (B * T)               i32
//   scores    (B * T, H, capacity)  f32  in and out; entries beyond the position stay as they are
//
// One workgroup a query of a head, or with `serial` one lane. Checked against f64 in test/tensor/ops/latent.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step};
import package::lib::exact::exact_exp;

struct Params { rows: u32, heads: u32, capacity: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<i32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(64)
fn softmax(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  var seen = 0u;
  if (row < params.rows) { seen = min(u32(max(positions[row / params.heads] + 1, 0)), params.capacity); }
  let start = row * params.capacity;
  var most = -3.0e38;
  for (var i = row_first(lane); i < seen; i += row_step) { most = max(most, scores[start + i]); }
  most = row_max(most, lane);
  var total = 0.0;
  for (var i = row_first(lane); i < seen; i += row_step) { total += exact_exp(scores[start + i] - most); }
  total = row_sum(total, lane);
  for (var i = row_first(lane); i < seen; i += row_step) {
    scores[start + i] = exact_exp(scores[start + i] - most) / total;
  }
}
