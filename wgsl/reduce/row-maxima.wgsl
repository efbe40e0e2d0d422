// Largest value of every row and its place, the first of equals.
//
//   x (N, C)     f32
//   y (N)        f32  out
//   place (N)    i32  out
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/distribution.test.ts.

import package::lib::row::{row_max, row_of, row_first, row_step, row_leads};

struct Params {
  n: u32,
  c: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> place: array<i32>;

@compute @workgroup_size(64)
fn row_maxima(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.c, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.c; i += row_step) { most = max(most, x[start + i]); }
  most = row_max(most, lane);
  var behind = -3.4e38; // minus the first place of the largest
  for (var i = row_first(lane); i < params.c; i += row_step) {
    if (x[start + i] == most) { behind = max(behind, -f32(i)); }
  }
  behind = row_max(behind, lane);
  if (!row_leads(lane) || !used) { return; }
  y[row] = most;
  place[row] = i32(-behind);
}
