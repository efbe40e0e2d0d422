// Gradient of wgsl/divergence/divergence.wgsl to the student's logits: q (g - sum q g) with g the divergence's slope
// along q, times scale and inverse temperature, times the row's own gradient.
//
//   student, teacher (N, V)  f32
//   targets (N)              i32  negative: zeros
//   saved (N, 4)             f32
//   d_loss (N)               f32
//   dx (N, V)                f32  out, or in and out: added with `accumulate` 1
//
// One workgroup a row, or with `serial` one lane. Checked against finite differences in
// test/tensor/ops/divergence.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step};
import package::lib::divergence::log_mix;
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  v: u32,
  inverse: f32, // 1 / temperature
  a: f32,       // weight of a mixture or an interpolation; what a label is lowered by
  scale: f32,   // temperature squared
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> saved: array<f32>;
@group(0) @binding(5) var<storage, read> d_loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

fn student_at(i: u32) -> f32 {
  return student[i] * params.inverse;
}

fn teacher_at(i: u32, v: u32, target_id: u32) -> f32 {
  @if(interpolated_target) return ((1.0 - params.a) * student[i] + params.a * teacher[i]) * params.inverse;
  @if(lowered_label) return (teacher[i] - select(0.0, params.a, v == target_id)) * params.inverse;
  @if(!interpolated_target && !lowered_label) return teacher[i] * params.inverse;
}

// The slope along q, of log q and log p; for those whose gradient is q - p, -p / q is never made.
fn slope(x: f32, y: f32) -> f32 {
  @if(reverse_kl) return x - y;
  @if(jsd) return (1.0 - params.a) * (x - log_mix(y, x, params.a));
  @if(skew_kl) return (params.a - 1.0) * exact_exp(y - log_mix(y, x, params.a));
  @if(skew_rkl) let m = log_mix(x, y, params.a);
  @if(skew_rkl) return x - m - params.a * exact_exp(x - m);
  @if(tvd) return 0.5 * sign(exact_exp(x) - exact_exp(y));
  @if(forward_kl || interpolated_target || lowered_label) return 0.0;
}

@compute @workgroup_size(64)
fn divergence_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var target_id = -1;
  var level = vec4f();
  if (used) {
    target_id = targets[row];
    level = vec4f(saved[4u * row], saved[4u * row + 1u], saved[4u * row + 2u], saved[4u * row + 3u]);
  }
  let label = u32(max(target_id, 0));
  var mean = 0.0;
  for (var i = row_first(lane); i < params.v; i += row_step) {
    let x = student_at(start + i) - level.x - level.y;
    let y = teacher_at(start + i, i, label) - level.z - level.w;
    let q = exact_exp(x);
    if (q > 0.0) { mean += q * slope(x, y); }
  }
  mean = row_sum(mean, lane);
  if (!used) { return; }
  var factor = params.scale * params.inverse * d_loss[row];
  if (target_id < 0) { factor = 0.0; }
  for (var i = row_first(lane); i < params.v; i += row_step) {
    let x = student_at(start + i) - level.x - level.y;
    let y = teacher_at(start + i, i, label) - level.z - level.w;
    let q = exact_exp(x);
    var d = 0.0;
    @if(forward_kl || interpolated_target || lowered_label) d = q - exact_exp(y);
    @if(!forward_kl && !interpolated_target && !lowered_label) if (q > 0.0) { d = q * (slope(x, y) - mean); }
    d *= factor;
    if (params.accumulate == 0u) { dx[start + i] = d; } else { dx[start + i] += d; }
  }
}
