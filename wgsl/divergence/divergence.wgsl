// Divergence of rows of student logits from rows of teacher logits.
//
//   student, teacher (N, V)  f32
//   targets (N)              i32  negative: the row does not count and gives 0
//   loss  (N)                f32  out: scale times the divergence at the logits times `inverse`
//   saved (N, 4)             f32  out: see wgsl/lib/divergence.wgsl
//
//   forward_kl   KL(p || q), p the teacher, q the student      reverse_kl  KL(q || p)
//   jsd          a KL(p || m) + (1 - a) KL(q || m), m = a p + (1 - a) q
//   skew_kl      KL(p || a p + (1 - a) q)                        skew_rkl    KL(q || a q + (1 - a) p)
//   tvd          sum |p - q| / 2
//   interpolated_target   KL(r || q), r of the logits (1 - a) student + a teacher, the student in it held fixed; with
//                         `cross_entropy` -sum r log q
//   lowered_label         -sum r log q, r of the teacher's logits with a taken off that of the label
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/divergence.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::divergence::{log_mix, weighted};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  v: u32,
  inverse: f32, // 1 / temperature
  a: f32,       // weight of a mixture or an interpolation; what a label is lowered by
  scale: f32,   // temperature squared
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> saved: array<f32>;

fn student_at(i: u32) -> f32 {
  return student[i] * params.inverse;
}

fn teacher_at(i: u32, v: u32, target_id: u32) -> f32 {
  @if(interpolated_target) return ((1.0 - params.a) * student[i] + params.a * teacher[i]) * params.inverse;
  @if(lowered_label) return (teacher[i] - select(0.0, params.a, v == target_id)) * params.inverse;
  @if(!interpolated_target && !lowered_label) return teacher[i] * params.inverse;
}

fn term(x: f32, y: f32) -> f32 { // log q, log p
  let q = exact_exp(x);
  let p = exact_exp(y);
  @if(forward_kl || (interpolated_target && !cross_entropy)) return weighted(p, y, x);
  @if(interpolated_target && cross_entropy) return weighted(p, 0.0, x);
  @if(reverse_kl) return weighted(q, x, y);
  @if(jsd) let m = log_mix(y, x, params.a);
  @if(jsd) return params.a * weighted(p, y, m) + (1.0 - params.a) * weighted(q, x, m);
  @if(skew_kl) return weighted(p, y, log_mix(y, x, params.a));
  @if(skew_rkl) return weighted(q, x, log_mix(x, y, params.a));
  @if(tvd) return 0.5 * abs(p - q);
  @if(lowered_label) return weighted(p, 0.0, x);
}

@compute @workgroup_size(64)
fn divergence(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var target_id = -1;
  if (used) { target_id = targets[row]; }
  let label = u32(max(target_id, 0));
  var most = vec2f(-3.4e38);
  for (var i = row_first(lane); i < params.v; i += row_step) {
    most = max(most, vec2f(student_at(start + i), teacher_at(start + i, i, label)));
  }
  most = vec2f(row_max(most.x, lane), row_max(most.y, lane));
  var sums = vec2f();
  for (var i = row_first(lane); i < params.v; i += row_step) {
    sums.x += exact_exp(student_at(start + i) - most.x);
    sums.y += exact_exp(teacher_at(start + i, i, label) - most.y);
  }
  let logs = log(vec2f(row_sum(sums.x, lane), row_sum(sums.y, lane)));
  var total = 0.0;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    total += term(student_at(start + i) - most.x - logs.x, teacher_at(start + i, i, label) - most.y - logs.y);
  }
  total = row_sum(total, lane);
  if (!row_leads(lane) || !used) { return; }
  loss[row] = select(0.0, params.scale * total, target_id >= 0);
  saved[4u * row] = most.x;
  saved[4u * row + 1u] = logs.x;
  saved[4u * row + 2u] = most.y;
  saved[4u * row + 3u] = logs.y;
}
