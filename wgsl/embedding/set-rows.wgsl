// Rows of a table, set by id.
//
//   ids    (N)     i32  negative: sets nothing; no two alike
//   values (N, C)  f32
//   table  (V, C)  f32  in and out; ids outside of it set nothing
//
// Checked in test/run/training/row-numbers.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, v: u32 } // count = N C

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> table: array<f32>;

@compute @workgroup_size(64)
fn set_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let id = ids[i / params.c];
    if (id >= 0 && u32(id) < params.v) { table[u32(id) * params.c + i % params.c] = values[i]; }
  }
}
