// Gradient of attention to its queries, with the probabilities made anew from the saved log sums.
//
//   q, y, dy (B * T, H * D)    f32
//   k, v     (B * T, Hkv * D)  f32
//   lse      (B, H, T)         f32
//   segments (B, T)            i32  only with `segments`
//   delta    (B, H, T)         f32  out: inner products of y and dy
//   dq       (B * T, H * D)    f32  out, or in and out: added with `accumulate` 1
//
// One lane a query. Checked against finite differences in test/tensor/ops/attention.test.ts.

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
@group(0) @binding(2) var<storage, read> y: array<Part>;
@group(0) @binding(3) var<storage, read> dy: array<Part>;
@group(0) @binding(4) var<storage, read> k: array<Part>;
@group(0) @binding(5) var<storage, read> v: array<Part>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@if(segments) @group(0) @binding(7) var<storage, read> segments: array<i32>;
@group(0) @binding(8) var<storage, read_write> delta: array<f32>;
@group(0) @binding(9) var<storage, read_write> dq: array<Part>;

@compute @workgroup_size(64)
fn query_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3u) {
  let t = workgroup.x * 64u + lane;
  let head = workgroup.y;
  let b = workgroup.z;
  if (t >= params.t) { return; }
  let width = params.heads * params.d;
  let key_width = width / params.group;
  let row = b * params.t + t;
  let start = row * width + head * params.d;
  let key_start = b * params.t * key_width + (head / params.group) * params.d;

  var query: array<vec4f, DV>;
  var change: array<vec4f, DV>;
  var sum: array<vec4f, DV>;
  var product = 0.0;
  for (var i = 0u; i < parts(params.d); i++) {
    sum[i] = vec4f();
    query[i] = part(&q, start, i, params.d) * params.scale;
    change[i] = part(&dy, start, i, params.d);
    product += dot(part(&y, start, i, params.d), change[i]);
  }
  let at_row = (b * params.heads + head) * params.t + t;
  delta[at_row] = product;
  let level = lse[at_row];
  var last = params.t;
  if (params.causal == 1u) { last = t + 1u; }
  var first = 0u;
  if (params.window > 0u && last > params.window) { first = last - params.window; }
  @if(segments) let segment = segments[row];
  @if(segments) if (segment == 0) { last = 0u; }
  for (var key = first; key < last; key++) {
    @if(segments) if (segments[b * params.t + key] != segment) { continue; }
    let at = key_start + key * key_width;
    var score4 = vec4f();
    var reach4 = vec4f();
    for (var i = 0u; i < parts(params.d); i++) {
      score4 = fma(query[i], part(&k, at, i, params.d), score4);
      reach4 = fma(change[i], part(&v, at, i, params.d), reach4);
    }
    var score = score4.x + score4.y + score4.z + score4.w;
    @if(capped) let turn = exact_tanh(score / params.cap);
    @if(capped) score = params.cap * turn;
    let p = exact_exp(score - level);
    var ds = p * (reach4.x + reach4.y + reach4.z + reach4.w - product) * params.scale;
    @if(capped) ds *= (1.0 - turn) * (1.0 + turn);
    for (var i = 0u; i < parts(params.d); i++) { sum[i] = fma(vec4f(ds), part(&k, at, i, params.d), sum[i]); }
  }
  for (var i = 0u; i < parts(params.d); i++) { put(&dq, start, i, params.d, sum[i], params.accumulate); }
}
