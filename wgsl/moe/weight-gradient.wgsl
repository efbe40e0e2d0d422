// Gradient of the weights of wgsl/moe/combine.wgsl: inner products of every token's gradient with its k rows.
//
//   dy     (N, C)  f32
//   ys     (S, C)  f32  rows sorted by expert
//   places (S)     u32  where the row of each slot is
//   dw     (S)     f32  out, or in and out: added with `accumulate` 1
//
// One workgroup a slot, or with `serial` one lane. Checked against finite differences in test/tensor/ops/moe.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};

struct Params { s: u32, c: u32, k: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> ys: array<f32>;
@group(0) @binding(3) var<storage, read> places: array<u32>;
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(64)
fn weight_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let slot = row_of(lane, group, groups);
  var sum = 0.0;
  if (slot < params.s) {
    let from_dy = slot / params.k * params.c;
    let from_ys = places[slot] * params.c;
    for (var i = row_first(lane); i < params.c; i += row_step) { sum += dy[from_dy + i] * ys[from_ys + i]; }
  }
  var total = row_sum(sum, lane);
  if (!row_leads(lane) || slot >= params.s) { return; }
  if (params.accumulate == 1u) { total += dw[slot]; }
  dw[slot] = total;
}
