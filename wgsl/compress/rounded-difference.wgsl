// What rounding changes in a matrix whose columns were scaled first: s (q - z) / f - w / f, q the nearest integer code
// of w.
//
//   weight     (rows, columns)  f32  scaled
//   factors    (columns)        f32  f
//   scales     (rows, groups)   f32
//   zeros      (rows, groups)   f32
//   difference (rows, columns)  f32  out
//
// Groups are of columns that follow one another. Checked against f64 in test/compress/input-scales.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { rows: u32, columns: u32, group: u32, groups: u32, top: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read> zeros: array<f32>;
@group(0) @binding(5) var<storage, read_write> difference: array<f32>;

@compute @workgroup_size(64)
fn rounded_difference(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let span = span_of(workgroup, workgroups);
  let last = min((span + 1u) * SPAN, params.rows * params.columns);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let column = i % params.columns;
    let cell = (i / params.columns) * params.groups + column / params.group;
    let s = scales[cell];
    let z = zeros[cell];
    let q = select(clamp(round(weight[i] / s) + z, 0.0, params.top), z, s == 0.0);
    difference[i] = (s * (q - z) - weight[i]) / factors[column];
  }
}
