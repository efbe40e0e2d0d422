// Values as they come back from integers with a zero point, nearest, a scale for every group of a row:
//
//   lo = min(0, min w), hi = max(0, max w), s = (hi - lo) / top, z = round(-lo / s)
//   y  = s (clamp(round(w / s) + z, 0, top) - z)
//
//   w    (rows, columns)  f32 or, with `weight_bf16`, bf16 in pairs
//   top  (1)              f32  the largest integer, 2^bits - 1
//   y    (rows, columns)  f32  out
//
// A group of zeros stays one. One invocation a group. Checked against f64 in test/tensor/ops/group-integers.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { rows: u32, columns: u32, group: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(!weight_bf16) @group(0) @binding(1) var<storage, read> w: array<f32>;
@if(weight_bf16) @group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var<storage, read> top: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn weight(i: u32) -> f32 {
  @if(!weight_bf16) return w[i];
  @if(weight_bf16) return bitcast<f32>(select(w[i / 2u] << 16u, w[i / 2u] & 0xffff0000u, (i & 1u) == 1u));
}

@compute @workgroup_size(64)
fn group_integers(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let i = span_of(workgroup, workgroups) * LANES + lane;
  if (i >= params.rows * params.groups) { return; }
  let g = i % params.groups;
  let start = (i / params.groups) * params.columns;
  let begin = start + g * params.group;
  let end = start + min(params.columns, (g + 1u) * params.group);
  var lo = 0.0;
  var hi = 0.0;
  for (var k = begin; k < end; k++) {
    lo = min(lo, weight(k));
    hi = max(hi, weight(k));
  }
  let most = top[0];
  let s = max((hi - lo) / most, 0x1p-126);
  let z = clamp(round(-lo / s), 0.0, most);
  for (var k = begin; k < end; k++) { y[k] = s * (clamp(round(weight(k) / s) + z, 0.0, most) - z); }
}
