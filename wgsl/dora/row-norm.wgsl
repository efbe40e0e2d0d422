// Lengths of the rows of W + s B A, which is never made: one workgroup a row.
//
//   w (O, I)  f32 or, with `weight_bf16`, bf16 in pairs; (I, O) with `transposed`
//   a (R, I)  f32
//   b (O, R)  f32
//   y (O)     f32  out
//
// w may be some of its rows, from `first` on: rows of the result, or with `transposed` inputs, whose squares are added
// to those of y with `accumulate` 1. `count` is how many.
//
// Checked against f64 in test/tensor/ops/dora.test.ts.

import package::lib::row::row_sum;
import package::lib::grid::span_of;

struct Params { o: u32, i: u32, r: u32, scale: f32, first: u32, count: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(!weight_bf16) @group(0) @binding(1) var<storage, read> w: array<f32>;
@if(weight_bf16) @group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn weight(i: u32) -> f32 {
  @if(!weight_bf16) return w[i];
  @if(weight_bf16) return bitcast<f32>(select(w[i / 2u] << 16u, w[i / 2u] & 0xffff0000u, (i & 1u) == 1u));
}

@compute @workgroup_size(64)
fn row_norm(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let own = span_of(group, groups);
  @if(!transposed) let row = params.first + own;
  @if(!transposed) let inputs = params.i;
  @if(!transposed) let rows = params.first + params.count;
  @if(transposed) let row = own;
  @if(transposed) let inputs = params.count;
  @if(transposed) let rows = params.o;
  var sum = 0.0;
  if (row < rows) {
    for (var k = lane; k < inputs; k += 64u) {
      @if(!transposed) let i = k;
      @if(transposed) let i = params.first + k;
      var low = 0.0;
      for (var r = 0u; r < params.r; r++) { low += b[row * params.r + r] * a[r * params.i + i]; }
      @if(!transposed) let at = own * params.i + k;
      @if(transposed) let at = k * params.o + row;
      let value = weight(at) + params.scale * low;
      sum += value * value;
    }
  }
  sum = row_sum(sum, lane);
  if (lane == 0u && row < rows) {
    if (params.accumulate == 1u) { sum += y[row] * y[row]; }
    y[row] = sqrt(sum);
  }
}
