// Largest magnitude of every group of columns of every row.
//
//   x   (rows, columns)  f32
//   top (rows, groups)   f32  out
//
// One group at a time, as lib/row.wgsl has it. Checked against f64 in test/tensor/ops/number-format.test.ts.

import package::lib::row::{row_first, row_leads, row_max, row_of, row_step};

struct Params { rows: u32, columns: u32, group: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> top: array<f32>;

@compute @workgroup_size(64)
fn largest(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let cell = row_of(lane, group, groups);
  let known = cell < params.rows * params.groups;
  let column = (cell % params.groups) * params.group;
  let start = (cell / params.groups) * params.columns;
  let end = select(0u, min(params.columns, column + params.group), known);
  var most = 0.0;
  for (var c = column + row_first(lane); c < end; c += row_step) { most = max(most, abs(x[start + c])); }
  most = row_max(most, lane);
  if (known && row_leads(lane)) { top[cell] = most; }
}
