// Sets marked weights to 0.
//
//   marks  (rows, columns), or (columns) under `whole_columns`  u32
//   weight (rows, columns)                                      f32  in and out
//
// Checked in test/tensor/weight-selection.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;

@compute @workgroup_size(64)
fn drop_marked(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.rows * params.columns);
  for (var i = start + lane; i < end; i += LANES) {
    @if(whole_columns) let mark = marks[i % params.columns];
    @if(!whole_columns) let mark = marks[i];
    if (mark != 0u) { weight[i] = 0.0; }
  }
}
