// Sums every token's k rows out of the rows sorted by expert, in order of its slots; with `weighted` each times its
// weight.
//
//   ys      (S, C)  f32
//   places  (S)     u32  where the row of each slot is; token n has the slots n k ... n k + k - 1
//   weights (S)     f32  by slot; only with `weighted`
//   addend  (N, C)  f32  only with `add`
//   y       (N, C)  f32  out, or in and out: added with `accumulate` 1
//
// Values go by fours, with `ragged` (C not divisible by 4) one by one. Checked in test/tensor/ops/moe.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, k: u32, accumulate: u32 } // count and c in units of V

@if(ragged) alias V = f32;
@if(!ragged) alias V = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ys: array<V>;
@group(0) @binding(2) var<storage, read> places: array<u32>;
@if(weighted) @group(0) @binding(3) var<storage, read> weights: array<f32>;
@if(add) @group(0) @binding(4) var<storage, read> addend: array<V>;
@group(0) @binding(5) var<storage, read_write> y: array<V>;

@compute @workgroup_size(64)
fn combine(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let first = i / params.c * params.k;
    let column = i % params.c;
    var sum = V();
    for (var slot = first; slot < first + params.k; slot++) {
      let value = ys[places[slot] * params.c + column];
      @if(weighted) sum += weights[slot] * value;
      @if(!weighted) sum += value;
    }
    @if(add) sum += addend[i];
    if (params.accumulate == 0u) { y[i] = sum; } else { y[i] += sum; }
  }
}
