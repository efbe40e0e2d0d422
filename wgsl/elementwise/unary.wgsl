// Element-wise functions of one tensor, and their derivatives.
//
//   x (N)   f32
//   dy (N)  f32  only with `gradient`
//   y (N)   f32  out: f(x), or with `gradient` in and out: f'(x) dy, added with `accumulate` 1
//
// Flags: exp, log, sqrt, square, abs, sigmoid, log_sigmoid, tanh, relu, silu, gelu (erf), gelu_tanh, quick_gelu, clamp
// (low to high), round, cos, affine (high x + low), soft_cap (high tanh(x / high)).
// NaN stays NaN. Checked against f64 in test/tensor/ops/elementwise.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::{exact_exp, exact_tanh, exact_sigmoid, exact_log1p, exact_normal, exact_cos, exact_sin};

struct Params { count: u32, low: f32, high: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@if(gradient) @group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

const ROOT_2_OVER_PI = 0.7978845608;

fn is_nan(v: f32) -> bool {
  return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn value(v: f32) -> f32 {
  @if(exp) return exact_exp(v);
  @if(log) return log(v);
  @if(sqrt) return sqrt(v);
  @if(square) return v * v;
  @if(abs) return abs(v);
  @if(sigmoid) return exact_sigmoid(v);
  @if(log_sigmoid) return min(v, 0.0) - exact_log1p(exact_exp(-abs(v)));
  @if(tanh) return exact_tanh(v);
  @if(relu) return select(0.0, v, v > 0.0 || is_nan(v));
  @if(silu) return v * exact_sigmoid(v);
  @if(gelu) return v * exact_normal(v);
  // (1 + tanh u) / 2 is sigmoid 2 u, which does not cancel on the left.
  @if(gelu_tanh) return v * exact_sigmoid(2.0 * ROOT_2_OVER_PI * (v + 0.044715 * v * v * v));
  @if(quick_gelu) return v * exact_sigmoid(1.702 * v);
  @if(clamp) return select(clamp(v, params.low, params.high), v, is_nan(v));
  @if(round) return round(v);
  @if(cos) return exact_cos(v);
  @if(affine) return params.high * v + params.low;
  @if(soft_cap) return params.high * exact_tanh(v / params.high);
}

fn slope(v: f32) -> f32 {
  @if(exp) return exact_exp(v);
  @if(log) return 1.0 / v;
  @if(sqrt) return 0.5 / sqrt(v);
  @if(square) return 2.0 * v;
  @if(abs) return sign(v);
  @if(sigmoid) let s = exact_sigmoid(v);
  @if(sigmoid) return s * (1.0 - s);
  @if(log_sigmoid) return exact_sigmoid(-v);
  @if(tanh) let t = exact_tanh(v);
  @if(tanh) return (1.0 - t) * (1.0 + t);
  @if(relu) return select(select(0.0, 1.0, v > 0.0), v, is_nan(v));
  @if(silu) let s = exact_sigmoid(v);
  @if(silu) return s * (1.0 + v * (1.0 - s));
  @if(gelu) return exact_normal(v) + v * 0.3989422804 * exact_exp(-0.5 * v * v);
  @if(gelu_tanh) let s = exact_sigmoid(2.0 * ROOT_2_OVER_PI * (v + 0.044715 * v * v * v));
  @if(gelu_tanh) return s + 2.0 * v * s * (1.0 - s) * ROOT_2_OVER_PI * (1.0 + 0.134145 * v * v);
  @if(quick_gelu) let s = exact_sigmoid(1.702 * v);
  @if(quick_gelu) return s * (1.0 + 1.702 * v * (1.0 - s));
  @if(clamp) return select(0.0, 1.0, v >= params.low && v <= params.high);
  @if(round) return 0.0;
  @if(cos) return -exact_sin(v);
  @if(affine) return params.high;
  @if(soft_cap) let t = exact_tanh(v / params.high);
  @if(soft_cap) return (1.0 - t) * (1.0 + t);
}

@compute @workgroup_size(64)
fn unary(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    @if(!gradient) y[i] = value(x[i]);
    @if(gradient) let d = slope(x[i]) * dy[i];
    @if(gradient) if (params.accumulate == 0u) { y[i] = d; } else { y[i] += d; }
  }
}
