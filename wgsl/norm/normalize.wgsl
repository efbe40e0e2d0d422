// RMSNorm and LayerNorm of groups of values: y = (x - mean) / sqrt(variance + eps) * weight + bias, RMSNorm without
// mean and bias; with `plus_one` the gain is 1 + weight.
//
//   x      (N, C)        f32
//   weight (W)           f32  W divides C: every group of W values is normalised by itself
//   bias   (W)           f32  only with `bias`
//   y      (N, C)        f32  out
//   saved  (N * C / W)   f32  out: 1 / sqrt(...) of each group; with `layer` followed by the means
//
// One workgroup a group, or with `serial` one lane. Checked against f64 in test/tensor/ops/norm.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};

struct Params { n: u32, w: u32, eps: f32 } // n groups of w values

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@if(bias) @group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> saved: array<f32>;

@compute @workgroup_size(64)
fn normalize(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = min(row_of(lane, group, groups), params.n - 1u); // surplus workgroups repeat the last one
  let start = row * params.w;
  var mean = 0.0;
  @if(layer) for (var i = row_first(lane); i < params.w; i += row_step) { mean += x[start + i]; }
  @if(layer) mean = row_sum(mean, lane) / f32(params.w);
  var square = 0.0;
  for (var i = row_first(lane); i < params.w; i += row_step) {
    let d = x[start + i] - mean;
    square += d * d;
  }
  let variance = row_sum(square, lane) / f32(params.w) + params.eps;
  let r = 1.0 / sqrt(variance);
  if (row_leads(lane)) {
    saved[row] = r;
    @if(layer) saved[params.n + row] = mean;
  }
  for (var i = row_first(lane); i < params.w; i += row_step) {
    @if(!plus_one) var v = (x[start + i] - mean) * r * weight[i];
    @if(plus_one) var v = (x[start + i] - mean) * r * (1.0 + weight[i]);
    @if(bias) v += bias[i];
    y[start + i] = v;
  }
}
