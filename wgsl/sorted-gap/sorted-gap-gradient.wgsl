// Gradient of wgsl/sorted-gap/sorted-gap.wgsl to the student's logits in the order they had before they were sorted: q
// (g - sum q g), g the sign of q - p at the rank, 0 where they are equal.
//
//   student (N, SP), teacher (N, TP)  f32  logits, sorted
//   order (N, SP)                     u32  where the student's were
//   targets (N)                       i32  negative: zeros
//   saved (N, 4)                      f32
//   d_loss (N)                        f32
//   dx (N, S)                         f32  out, or in and out: added with `accumulate` 1
//
//   with `scaled`, where q is a probability times a factor
//   own (N)                           f32  logarithm of the student's factor
//   pull (N)                          f32  out: the gradient to it
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/sorted-gap.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params { n: u32, s: u32, sp: u32, t: u32, tp: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> targets: array<i32>;
@group(0) @binding(5) var<storage, read> saved: array<f32>;
@group(0) @binding(6) var<storage, read> d_loss: array<f32>;
@if(scaled) @group(0) @binding(7) var<storage, read> own: array<f32>;
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;
@if(scaled) @group(0) @binding(9) var<storage, read_write> pull: array<f32>;

@compute @workgroup_size(64)
fn sorted_gap_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let first = select(0u, row * params.sp, used);
  let beside = select(0u, row * params.tp, used);
  var level = vec4f();
  var factor = 0.0;
  if (used) {
    level = vec4f(saved[4u * row], saved[4u * row + 1u], saved[4u * row + 2u], saved[4u * row + 3u]);
    factor = select(d_loss[row], 0.0, targets[row] < 0);
  }
  var mean = 0.0;
  for (var i = row_first(lane); i < params.s; i += row_step) {
    let q = exact_exp(student[first + i] - level.x - level.y);
    var p = 0.0;
    if (i < params.t) { p = exact_exp(teacher[beside + i] - level.z - level.w); }
    mean += q * sign(q - p);
  }
  mean = row_sum(mean, lane);
  if (!used) { return; }
  @if(scaled) {
    if (row_leads(lane)) { pull[row] = factor * mean; }
    mean *= exp(-own[row]);
  }
  let start = row * params.s;
  for (var i = row_first(lane); i < params.s; i += row_step) {
    let q = exact_exp(student[first + i] - level.x - level.y);
    var p = 0.0;
    if (i < params.t) { p = exact_exp(teacher[beside + i] - level.z - level.w); }
    let d = factor * q * (sign(q - p) - mean);
    let at = start + order[first + i];
    if (params.accumulate == 0u) { dx[at] = d; } else { dx[at] += d; }
  }
}
