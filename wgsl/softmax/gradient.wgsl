// Gradient of wgsl/softmax/forward.wgsl from its result y: inverse y (dy - sum y dy), or with `logarithm` inverse (dy -
// exp(y) sum dy).
//
//   y, dy (N, C)  f32
//   dx (N, C)     f32  out, or in and out: added with `accumulate` 1
//
// One workgroup a row, or with `serial` one lane. Checked against finite differences in
// test/tensor/ops/softmax.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step};
import package::lib::exact::exact_exp;

struct Params {
  n: u32,
  c: u32,
  inverse: f32, // 1 / temperature
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let width = select(0u, params.c, used);
  let start = select(0u, row * params.c, used);
  var sum = 0.0;
  for (var i = row_first(lane); i < width; i += row_step) {
    @if(logarithm) sum += dy[start + i];
    @if(!logarithm) sum += y[start + i] * dy[start + i];
  }
  sum = row_sum(sum, lane);
  for (var i = row_first(lane); i < width; i += row_step) {
    @if(logarithm) let d = params.inverse * (dy[start + i] - exact_exp(y[start + i]) * sum);
    @if(!logarithm) let d = params.inverse * y[start + i] * (dy[start + i] - sum);
    if (params.accumulate == 0u) { dx[start + i] = d; } else { dx[start + i] += d; }
  }
}
