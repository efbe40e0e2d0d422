// Gradients of attention to its keys and values, with the probabilities made anew from the saved log sums.
//
//   q, dy    (B * T, H * D)    f32
//   k, v     (B * T, Hkv * D)  f32
//   lse      (B, H, T)         f32
//   delta    (B, H, T)         f32  of wgsl/attention/query-gradient.wgsl
//   segments (B, T)            i32  only with `segments`
//   dk or dv (B * T, Hkv * D)  f32  out, or in and out: added with `accumulate` 1; `values` chooses dv
//
// One lane a key, which walks the queries that see it, over all heads of its group: no atomics. Checked against finite
// differences in test/tensor/ops/attention.test.ts.

import package::lib::head::{DV, Part, part, parts, put};
import package::lib::exact::{exact_exp, exact_tanh};

struct Params {
  t: u32,
  heads: u32,
  group: u32,
  d: u32,
  causal: u32,
  window: u32,
  scale: f32,
  accumulate: u32,
  cap: f32, // only with `capped`: scores are cap tanh(score / cap)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Part>;
@group(0) @binding(2) var<storage, read> dy: array<Part>;
@group(0) @binding(3) var<storage, read> k: array<Part>;
@if(!values) @group(0) @binding(4) var<storage, read> v: array<Part>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@if(!values) @group(0) @binding(6) var<storage, read> delta: array<f32>;
@if(segments) @group(0) @binding(7) var<storage, read> segments: array<i32>;
@group(0) @binding(8) var<storage, read_write> gradient: array<Part>;

@compute @workgroup_size(64)
fn key_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3u) {
  let key = workgroup.x * 64u + lane;
  let key_head = workgroup.y;
  let b = workgroup.z;
  if (key >= params.t) { return; }
  let width = params.heads * params.d;
  let key_width = width / params.group;
  let row = b * params.t + key;
  let start = row * key_width + key_head * params.d;

  var own: array<vec4f, DV>;
  @if(!values) var value: array<vec4f, DV>;
  var sum: array<vec4f, DV>;
  for (var i = 0u; i < parts(params.d); i++) {
    sum[i] = vec4f();
    own[i] = part(&k, start, i, params.d) * params.scale;
    @if(!values) value[i] = part(&v, start, i, params.d);
  }
  var first = 0u;
  if (params.causal == 1u) { first = key; }
  var end = params.t;
  if (params.window > 0u) { end = min(end, key + params.window); }
  @if(segments) let segment = segments[row];
  @if(segments) if (segment == 0) { end = 0u; }
  for (var h = 0u; h < params.group; h++) {
    let head = key_head * params.group + h;
    let rows = (b * params.heads + head) * params.t;
    for (var t = first; t < end; t++) {
      @if(segments) if (segments[b * params.t + t] != segment) { continue; }
      let at = (b * params.t + t) * width + head * params.d;
      var score4 = vec4f();
      for (var i = 0u; i < parts(params.d); i++) { score4 = fma(own[i], part(&q, at, i, params.d), score4); }
      var score = score4.x + score4.y + score4.z + score4.w;
      @if(capped) let turn = exact_tanh(score / params.cap);
      @if(capped) score = params.cap * turn;
      let p = exact_exp(score - lse[rows + t]);
      @if(values) for (var i = 0u; i < parts(params.d); i++) { sum[i] = fma(vec4f(p), part(&dy, at, i, params.d), sum[i]); }
      @if(!values) var reach4 = vec4f();
      @if(!values) for (var i = 0u; i < parts(params.d); i++) { reach4 = fma(value[i], part(&dy, at, i, params.d), reach4); }
      @if(!values) var ds = p * (reach4.x + reach4.y + reach4.z + reach4.w - delta[rows + t]) * params.scale;
      @if(capped && !values) ds *= (1.0 - turn) * (1.0 + turn);
      @if(!values) for (var i = 0u; i < parts(params.d); i++) { sum[i] = fma(vec4f(ds), part(&q, at, i, params.d), sum[i]); }
    }
  }
  for (var i = 0u; i < parts(params.d); i++) { put(&gradient, start, i, params.d, sum[i], params.accumulate); }
}
