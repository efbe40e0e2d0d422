// Rows of logits seen through a sparse teacher's choice: the logits at some ids, and one more for all the others
// together, the log of the sum of their exponentials. A softmax over the result is the softmax over all, with what was
// not chosen in one bucket.
//
//   logits (N, V)    f32
//   ids (N, K)       i32  ascending in every row
//   y (N, K + 1)     f32  out; the last is -1e30 when nothing is left over
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/sparse-teacher.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  v: u32,
  k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Whether id is among ids[first .. first + k).
fn chosen(id: i32, first: u32) -> bool {
  var low = 0u;
  var high = params.k;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (ids[first + middle] < id) { low = middle + 1u; } else { high = middle; }
  }
  return low < params.k && ids[first + low] == id;
}

@compute @workgroup_size(64)
fn buckets(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  let first = select(0u, row * params.k, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    if (!chosen(i32(i), first)) { most = max(most, logits[start + i]); }
  }
  most = row_max(most, lane);
  var sum = 0.0;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    if (!chosen(i32(i), first)) { sum += exact_exp(logits[start + i] - most); }
  }
  sum = row_sum(sum, lane);
  if (!used) { return; }
  let out = row * (params.k + 1u);
  for (var i = row_first(lane); i < params.k; i += row_step) {
    y[out + i] = logits[start + u32(ids[first + i])];
  }
  if (row_leads(lane)) {
    y[out + params.k] = -1e30;
    if (params.k < params.v) { y[out + params.k] = most + log(sum); }
  }
}
