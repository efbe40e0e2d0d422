// Keeps of the grids that are tried for each group the one that costs the least: sum over its columns of d m, with d
// the difference that rounding makes and m the same times the second moments of the group's inputs.
//
//   difference  (rows, columns)  f32
//   moved       (rows, columns)  f32
//   scales      (rows, groups)   f32  that were tried
//   zeros       (rows, groups)   f32
//   least       (rows, groups)   f32  in and out; with `first` 1 only out
//   best_scales (rows, groups)   f32  in and out
//   best_zeros  (rows, groups)   f32  in and out
//
// One invocation a group. Checked against f64 in test/compress/methods/quantizers/awq.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { rows: u32, columns: u32, group: u32, groups: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> difference: array<f32>;
@group(0) @binding(2) var<storage, read> moved: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read> zeros: array<f32>;
@group(0) @binding(5) var<storage, read_write> least: array<f32>;
@group(0) @binding(6) var<storage, read_write> best_scales: array<f32>;
@group(0) @binding(7) var<storage, read_write> best_zeros: array<f32>;

@compute @workgroup_size(64)
fn keep_least(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let i = span_of(workgroup, workgroups) * LANES + lane;
  if (i >= params.rows * params.groups) { return; }
  let row = i / params.groups;
  let g = i % params.groups;
  let end = row * params.columns + min(params.columns, (g + 1u) * params.group);
  var sum = 0.0;
  for (var k = row * params.columns + g * params.group; k < end; k++) { sum += difference[k] * moved[k]; }
  if (params.first == 0u && sum >= least[i]) { return; }
  least[i] = sum;
  best_scales[i] = scales[i];
  best_zeros[i] = zeros[i];
}
