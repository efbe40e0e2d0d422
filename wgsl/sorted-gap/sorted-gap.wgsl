// Sum of |p - q| over ranks, p and q the probabilities of two distributions from the largest to the smallest, over
// vocabularies that need have nothing in common. The shorter one has 0 beyond its end.
//
//   student (N, SP), teacher (N, TP)  f32  logits of every row, sorted; S and T of them count
//   targets (N)                       i32  negative: the row does not count and gives 0
//   loss    (N)                       f32  out
//   saved   (N, 4)                    f32  out: largest logit of the student's and log of the sum beyond it, less the
//                                          logarithm of its factor, then the teacher's
//
//   with `scaled`
//   own, other (N)                    f32  logarithms of what all probabilities of a row are multiplied by
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/sorted-gap.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params { n: u32, s: u32, sp: u32, t: u32, tp: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@if(scaled) @group(0) @binding(4) var<storage, read> own: array<f32>;
@if(scaled) @group(0) @binding(5) var<storage, read> other: array<f32>;
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;
@group(0) @binding(7) var<storage, read_write> saved: array<f32>;

@compute @workgroup_size(64)
fn sorted_gap(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let first = select(0u, row * params.sp, used);
  let beside = select(0u, row * params.tp, used);
  let most = vec2f(student[first], teacher[beside]);
  var sums = vec2f();
  for (var i = row_first(lane); i < params.s; i += row_step) { sums.x += exact_exp(student[first + i] - most.x); }
  for (var i = row_first(lane); i < params.t; i += row_step) { sums.y += exact_exp(teacher[beside + i] - most.y); }
  sums = vec2f(row_sum(sums.x, lane), row_sum(sums.y, lane));
  var logs = log(sums);
  @if(scaled) {
    if (used) { logs -= vec2f(own[row], other[row]); }
  }
  var gap = 0.0;
  for (var i = row_first(lane); i < max(params.s, params.t); i += row_step) {
    var q = 0.0;
    var p = 0.0;
    if (i < params.s) { q = exact_exp(student[first + i] - most.x - logs.x); }
    if (i < params.t) { p = exact_exp(teacher[beside + i] - most.y - logs.y); }
    gap += abs(p - q);
  }
  gap = row_sum(gap, lane);
  if (!row_leads(lane) || !used) { return; }
  loss[row] = select(gap, 0.0, targets[row] < 0);
  saved[4u * row] = most.x;
  saved[4u * row + 1u] = logs.x;
  saved[4u * row + 2u] = most.y;
  saved[4u * row + 3u] = logs.y;
}
