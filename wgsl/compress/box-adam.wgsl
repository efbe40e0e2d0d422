// A step of Adam for the difference of a matrix from its weights, kept such that the sum stays between the ends of the
// grid of its group.
//
//   weight     (rows, columns)  f32
//   gradient   (rows, columns)  f32
//   scales     (rows, groups)   f32  the ends are offset and offset + scale top
//   offsets    (rows, groups)   f32
//   difference (rows, columns)  f32  in and out
//   mean       (rows, columns)  f32  in and out
//   square     (rows, columns)  f32  in and out
//
// With `first` 1 the difference begins, as what brings the weights between the ends, and the means with it. Guo et al.
// 2024, arXiv:2404.12759. Checked against f64 in test/compress/boxed-weights.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  rows: u32,
  columns: u32,
  group: u32,
  groups: u32,
  top: f32,
  rate: f32,
  correction1: f32,
  correction2: f32,
  first: u32,
}

const BETA1 = 0.9;
const BETA2 = 0.999;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read> offsets: array<f32>;
@group(0) @binding(5) var<storage, read_write> difference: array<f32>;
@group(0) @binding(6) var<storage, read_write> mean: array<f32>;
@group(0) @binding(7) var<storage, read_write> square: array<f32>;

@compute @workgroup_size(64)
fn box_adam(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let span = span_of(workgroup, workgroups);
  let last = min((span + 1u) * SPAN, params.rows * params.columns);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let cell = (i / params.columns) * params.groups + (i % params.columns) / params.group;
    var d = 0.0;
    var m = 0.0;
    var v = 0.0;
    if (params.first == 0u) {
      let g = gradient[i];
      m = BETA1 * mean[i] + (1.0 - BETA1) * g;
      v = BETA2 * square[i] + (1.0 - BETA2) * g * g;
      d = difference[i] - params.rate * (m * params.correction1) / (sqrt(v * params.correction2) + 1e-12);
    }
    let end = offsets[cell] + scales[cell] * params.top;
    let low = min(offsets[cell], end);
    let high = max(offsets[cell], end);
    difference[i] = clamp(weight[i] + d, low, high) - weight[i];
    mean[i] = m;
    square[i] = v;
  }
}
