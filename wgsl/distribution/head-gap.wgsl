// Weight of forward KL in adaptive KL (AKL, arXiv:2404.02657): the share of |p - q| that lies in the head of the
// teacher's distribution p. The head are the likeliest tokens whose running sum of p is at most `mu`, and the likeliest
// in any case.
//
//   student, teacher (N, V)  f32  logits
//   weight (N)               f32  out; 1/2 where nothing differs
//
// The cut is found by bisection over the bits of a probability, so tokens of equal probability are in the head together
// or not at all. One workgroup a row, or with `serial` one lane. Checked against f64 in
// test/tensor/ops/distribution.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  v: u32,
  inverse: f32, // 1 / temperature
  mu: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;

@compute @workgroup_size(64)
fn head_gap(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var most = vec2f(-3.4e38);
  for (var i = row_first(lane); i < params.v; i += row_step) {
    most = max(most, vec2f(student[start + i], teacher[start + i]) * params.inverse);
  }
  most = vec2f(row_max(most.x, lane), row_max(most.y, lane));
  var sums = vec2f();
  for (var i = row_first(lane); i < params.v; i += row_step) {
    sums.x += exact_exp(student[start + i] * params.inverse - most.x);
    sums.y += exact_exp(teacher[start + i] * params.inverse - most.y);
  }
  sums = vec2f(row_sum(sums.x, lane), row_sum(sums.y, lane));
  // The least probability at which all tokens at least as likely sum to at most mu; above the top one it sums to
  // nothing.
  var low = 0u; // too low, or everything fits
  var high = bitcast<u32>(1.0 / sums.y); // the top token alone
  for (var round = 0; round < 31; round++) {
    let middle = low + (high - low) / 2u;
    let cut = bitcast<f32>(middle);
    var mass = 0.0;
    for (var i = row_first(lane); i < params.v; i += row_step) {
      let p = exact_exp(teacher[start + i] * params.inverse - most.y) / sums.y;
      mass += select(0.0, p, p >= cut);
    }
    mass = row_sum(mass, lane);
    if (mass <= params.mu) { high = middle; } else { low = middle + 1u; }
    if (low > high) { low = high; }
  }
  let cut = bitcast<f32>(high);
  var gaps = vec2f();
  for (var i = row_first(lane); i < params.v; i += row_step) {
    let q = exact_exp(student[start + i] * params.inverse - most.x) / sums.x;
    let e = exact_exp(teacher[start + i] * params.inverse - most.y);
    let p = e / sums.y;
    let gap = abs(p - q);
    if (p >= cut || e == 1.0) { gaps.x += gap; } else { gaps.y += gap; }
  }
  gaps = vec2f(row_sum(gaps.x, lane), row_sum(gaps.y, lane));
  if (row_leads(lane) && used) {
    weight[row] = select(gaps.x / (gaps.x + gaps.y), 0.5, gaps.x + gaps.y == 0.0);
  }
}
