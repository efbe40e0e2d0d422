// Sums of the rows of a matrix; also what summing over broadcast dimensions comes down to.
//
//   x    (N, C)  f32
//   sums (N)     f32  out, or in and out: with `accumulate` 1 added
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/reduce.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};

struct Params { n: u32, c: u32, scale: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn row_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  var sum = 0.0;
  if (row < params.n) {
    for (var i = row_first(lane); i < params.c; i += row_step) { sum += x[row * params.c + i]; }
  }
  var total = params.scale * row_sum(sum, lane);
  if (!row_leads(lane) || row >= params.n) { return; }
  if (params.accumulate == 1u) { total += sums[row]; }
  sums[row] = total;
}
