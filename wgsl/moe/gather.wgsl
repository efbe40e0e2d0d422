// Rows of tokens in the order of their slots sorted by expert; with `weighted` each times its slot's weight.
//
//   x       (N, C)  f32
//   slots   (S)     u32  the slot at every place; slot s belongs to token s / k
//   weights (S)     f32  by slot; only with `weighted`
//   y       (S, C)  f32  out, or in and out: added with `accumulate` 1
//
// Values go by fours, with `ragged` (C not divisible by 4) one by one. Checked in test/tensor/ops/moe.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, k: u32, accumulate: u32 } // count and c in units of V

@if(ragged) alias V = f32;
@if(!ragged) alias V = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@if(weighted) @group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<V>;

@compute @workgroup_size(64)
fn gather(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let slot = slots[i / params.c];
    var value = x[slot / params.k * params.c + i % params.c];
    @if(weighted) value *= weights[slot];
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
