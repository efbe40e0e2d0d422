// Softmax of rows, or with `logarithm` its logarithm, at the values times `inverse`.
//
//   x (N, C)  f32
//   y (N, C)  f32  out
//
// One workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/softmax.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  c: u32,
  inverse: f32, // 1 / temperature
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  // Lanes without a row go along, for barriers are met by all; they see a row of no entries.
  let used = row < params.n;
  let width = select(0u, params.c, used);
  let start = select(0u, row * params.c, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < width; i += row_step) { most = max(most, x[start + i] * params.inverse); }
  most = row_max(most, lane);
  var sum = 0.0;
  for (var i = row_first(lane); i < width; i += row_step) { sum += exact_exp(x[start + i] * params.inverse - most); }
  sum = row_sum(sum, lane);
  @if(logarithm) let level = log(sum);
  for (var i = row_first(lane); i < width; i += row_step) {
    let below = x[start + i] * params.inverse - most;
    @if(logarithm) y[start + i] = below - level;
    @if(!logarithm) y[start + i] = exact_exp(below) / sum;
  }
}
