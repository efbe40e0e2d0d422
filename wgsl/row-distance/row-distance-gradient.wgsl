// Gradient of wgsl/row-distance/row-distance.wgsl to the student: kl, -p / q; mse, 2 (q - p).
//
//   student, teacher (N, C)  f32
//   d_loss (N)               f32
//   dx (N, C)                f32  out, or in and out: added with `accumulate` 1
//
// A q below 1e-37 counts as that, so that the quotient is finite, and q times it at most p. One workgroup a row, or
// with `serial` one lane. Checked against finite differences in test/tensor/ops/row-distance.test.ts.

import package::lib::row::{row_of, row_first, row_step};

struct Params { n: u32, c: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read> d_loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

fn slope(q: f32, p: f32) -> f32 {
  @if(mse) return 2.0 * (q - p);
  @if(kl) return -p / max(q, 1e-37);
}

@compute @workgroup_size(64)
fn row_distance_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  if (row >= params.n) { return; }
  let start = row * params.c;
  let factor = d_loss[row];
  for (var i = row_first(lane); i < params.c; i += row_step) {
    let d = factor * slope(student[start + i], teacher[start + i]);
    if (params.accumulate == 0u) { dx[start + i] = d; } else { dx[start + i] += d; }
  }
}
