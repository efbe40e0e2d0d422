// Scales every row of a weight to a given length, in place: row *= magnitude / |row| (DoRA).
//
//   magnitude (R)             f32  of the whole weight; `row` is where these rows begin
//   weight    (rows, columns) f32  in and out
//
// One workgroup per row. Source: DoRA, arXiv:2402.09353. Checked against f64 in test/wgsl/load/scale-rows.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { rows: u32, columns: u32, row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> magnitude: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;

var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(64)
fn scale_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups);
  let inside = row < params.rows;
  let start = min(row, params.rows - 1u) * params.columns;
  var sum = 0.0;
  for (var c = lane; c < params.columns; c += LANES) { sum = fma(weight[start + c], weight[start + c], sum); }
  sums[lane] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  workgroupBarrier();
  if (!inside) { return; }
  // A row of zeros has no direction to scale: it stays zero.
  let factor = select(0.0, magnitude[params.row + row] / sqrt(sums[0]), sums[0] != 0.0);
  for (var c = lane; c < params.columns; c += LANES) { weight[start + c] *= factor; }
}
