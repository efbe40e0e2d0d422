// Values rounded to levels times a scale: what a number of a few bits would give back.
//
//   x      (rows, columns)  f32
//   scales (rows, groups)   f32  left out without `scaled`
//   factor (1)              f32  a power of two, left out without `factored`
//   y      (rows, columns)  f32  out, or in and out: added with `accumulate` 1
//
// Levels are those of a float of `mantissa` bits whose steps grow from the exponent `least` on, up to `end`; integers
// have none that grow. To nearest, the even one of two; with `drawn` to one of the two about a value, each the likelier
// the nearer, by key, seed and place. Past the end: the end, or `past` where that is not 0 (the bits of infinity). x is
// multiplied by the factor before and divided by it afterwards, as loss scaling has it. What is no number stays so.
// Checked against f64 in test/tensor/ops/number-format.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
@if(drawn) import package::lib::random::random_bits;

struct Params {
  count: u32,
  columns: u32,
  group: u32,
  groups: u32,
  mantissa: i32,
  least: i32,
  end: f32,
  past: u32,
  key: u32,
  seed: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@if(scaled) @group(0) @binding(2) var<storage, read> scales: array<f32>;
@if(factored) @group(0) @binding(3) var<storage, read> factor: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn scale_at(i: u32) -> f32 {
  @if(scaled) return scales[(i / params.columns) * params.groups + (i % params.columns) / params.group];
  @if(!scaled) return 1.0;
}

fn times() -> f32 {
  @if(factored) return factor[0];
  @if(!factored) return 1.0;
}

fn unit_at(i: u32) -> f32 {
  @if(drawn) return f32(random_bits(vec4u(i), vec2u(params.key, params.seed)).x >> 8u) * 0x1p-24;
  @if(!drawn) return 0.0;
}

fn level(v: f32, unit: f32) -> f32 {
  let a = abs(v);
  let exponent = max(i32(bitcast<u32>(a) >> 23u) - 127, params.least);
  let step = bitcast<f32>(u32(exponent - params.mantissa + 127) << 23u);
  @if(drawn) let near = floor(a / step + unit) * step;
  @if(!drawn) let near = round(a / step) * step;
  let end = select(params.end, bitcast<f32>(params.past), params.past != 0u);
  let kept = select(near, end, near > params.end);
  return select(kept, -kept, v < 0.0);
}

@compute @workgroup_size(64)
fn in_format(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let scale = scale_at(i);
    let given = x[i] * times();
    let finite = (bitcast<u32>(given) & 0x7f800000u) != 0x7f800000u;
    var value = given;
    if (finite) { value = select(0.0, level(given / scale, unit_at(i)) * scale, scale > 0.0); }
    value /= times();
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
