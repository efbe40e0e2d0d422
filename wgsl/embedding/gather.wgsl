// Rows of a table.
//
//   ids   (N)     i32
//   table (V, C)  f32 or, with `table_bf16`, bf16 in pairs
//   y     (N, C)  f32  out; ids outside the table give zeros, or with `later` nothing
//
// The table holds the rows of ids from `lowest` on; those after the first part of a table are `later`.
//
// Checked against f64 in test/tensor/ops/embedding.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, v: u32, lowest: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@if(!table_bf16) @group(0) @binding(2) var<storage, read> table: array<f32>;
@if(table_bf16) @group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn value(i: u32) -> f32 {
  @if(!table_bf16) return table[i];
  @if(table_bf16) return bitcast<f32>(select(table[i / 2u] << 16u, table[i / 2u] & 0xffff0000u, (i & 1u) == 1u));
}

@compute @workgroup_size(64)
fn gather(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let id = ids[i / params.c];
    let row = u32(id) - params.lowest;
    if (id >= 0 && u32(id) >= params.lowest && row < params.v) {
      y[i] = value(row * params.c + i % params.c);
    } else {
      @if(!later) y[i] = 0.0;
    }
  }
}
