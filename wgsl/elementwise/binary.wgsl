// Element-wise functions of two tensors, either of them repeated along some dimensions.
//
//   a, b  f32  up to four dimensions; a stride of 0 repeats
//   y     f32  out, or in and out: added with `accumulate` 1; dimensions (..., d1, d2, d3) of `count` values
//
// Flags: add, sub, mul, div, maximum, minimum; for gradients ratio (-a / b^2), first (1 where a is the larger, 0.5
// where equal), and `by` multiplies the result with a third tensor of y's shape, a gradient. NaN in either operand
// gives NaN. Checked against f64 in test/tensor/ops/elementwise.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32,
  d1: u32, d2: u32, d3: u32,
  a0: u32, a1: u32, a2: u32, a3: u32,
  b0: u32, b1: u32, b2: u32, b3: u32,
  scale: f32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@if(by) @group(0) @binding(3) var<storage, read> by: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn value(p: f32, q: f32) -> f32 {
  @if(add) return p + q;
  @if(sub) return p - q;
  @if(mul) return p * q;
  @if(div) return p / q;
  @if(ratio) return -p / (q * q);
  @if(maximum) return select(select(q, p, p > q || is_nan(p)), q, is_nan(q));
  @if(minimum) return select(select(q, p, p < q || is_nan(p)), q, is_nan(q));
  @if(first) return select(select(0.0, 1.0, p > q), 0.5, p == q);
}

@compute @workgroup_size(64)
fn binary(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let i3 = i % params.d3;
    let r2 = i / params.d3;
    let i2 = r2 % params.d2;
    let r1 = r2 / params.d2;
    let i1 = r1 % params.d1;
    let i0 = r1 / params.d1;
    let p = a[i0 * params.a0 + i1 * params.a1 + i2 * params.a2 + i3 * params.a3];
    let q = b[i0 * params.b0 + i1 * params.b1 + i2 * params.b2 + i3 * params.b3];
    var result = params.scale * value(p, q);
    @if(by) result *= by[i];
    if (params.accumulate == 0u) { y[i] = result; } else { y[i] += result; }
  }
}
