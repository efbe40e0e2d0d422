// Attention with an online softmax: y = softmax(scale q k^T) v over the keys that a query may see.
//
//   q        (B * T, H * D)      f32
//   k, v     (B * T, Hkv * D)    f32  head h reads head h / (H / Hkv) of them
//   segments (B, T)              i32  only with `segments`: a query sees its own segment, segment 0 sees nothing and
//                                     gives 0
//   sinks    (H)                 f32  only with `sinks`: one more score of every query, without a value
//   y        (B * T, H * D)      f32  out
//   lse      (B, H, T)           f32  out: log of the sum of the exponentials
//
// One lane a query; the 64 queries of a workgroup are neighbours of one head and read the same keys. arXiv:2205.14135,
// 2307.08691. With `cached`, k and v are (B, capacity, Hkv * D) and a query sees the entries 0 ... positions[query];
// there is no lse. Checked against f64 in test/tensor/ops/attention.test.ts.

import package::lib::head::{DV, Part, part, parts, put};
import package::lib::exact::{exact_exp, exact_tanh};

struct Params {
  t: u32,       // queries of a batch row
  keys: u32,    // keys of a batch row
  heads: u32,
  group: u32,   // query heads per key head
  d: u32,       // values of a head
  causal: u32,
  window: u32,  // 0: none; else a query sees so many of the last keys
  scale: f32,
  cap: f32,     // only with `capped`: scores become cap tanh(score / cap)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Part>;
@group(0) @binding(2) var<storage, read> k: array<Part>;
@group(0) @binding(3) var<storage, read> v: array<Part>;
@if(segments) @group(0) @binding(4) var<storage, read> segments: array<i32>;
@if(cached) @group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read_write> y: array<Part>;
@if(!cached) @group(0) @binding(7) var<storage, read_write> lse: array<f32>;
@if(sinks) @group(0) @binding(8) var<storage, read> sinks: array<f32>;

@compute @workgroup_size(64)
fn forward(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3u) {
  let t = workgroup.x * 64u + lane;
  let head = workgroup.y;
  let b = workgroup.z;
  if (t >= params.t) { return; }
  let width = params.heads * params.d;
  let key_width = width / params.group;
  let row = b * params.t + t;
  let start = row * width + head * params.d;
  let key_start = b * params.keys * key_width + (head / params.group) * params.d;

  var query: array<vec4f, DV>;
  var sum: array<vec4f, DV>;
  for (var i = 0u; i < parts(params.d); i++) {
    query[i] = part(&q, start, i, params.d) * params.scale;
    sum[i] = vec4f();
  }
  var last = params.keys;
  if (params.causal == 1u) { last = t + 1u; }
  @if(cached) last = min(u32(max(positions[row] + 1, 0)), params.keys);
  var first = 0u;
  if (params.window > 0u && last > params.window) { first = last - params.window; }
  @if(segments) let segment = segments[row];
  @if(segments) if (segment == 0) { last = 0u; }

  var most = -3.0e38;
  var total = 0.0;
  for (var key = first; key < last; key++) {
    @if(segments) if (segments[b * params.t + key] != segment) { continue; }
    let at = key_start + key * key_width;
    var score4 = vec4f();
    for (var i = 0u; i < parts(params.d); i++) { score4 = fma(query[i], part(&k, at, i, params.d), score4); }
    var score = score4.x + score4.y + score4.z + score4.w;
    @if(capped) score = params.cap * exact_tanh(score / params.cap);
    var p = 1.0;
    if (score > most) {
      let shrink = exact_exp(most - score);
      total *= shrink;
      for (var i = 0u; i < parts(params.d); i++) { sum[i] *= shrink; }
      most = score;
    } else {
      p = exact_exp(score - most);
    }
    total += p;
    for (var i = 0u; i < parts(params.d); i++) { sum[i] = fma(vec4f(p), part(&v, at, i, params.d), sum[i]); }
  }
  @if(sinks) if (total > 0.0) {
    let shrink = exact_exp(min(most - sinks[head], 0.0));
    total = total * shrink + exact_exp(min(sinks[head] - most, 0.0));
    for (var i = 0u; i < parts(params.d); i++) { sum[i] *= shrink; }
    most = max(most, sinks[head]);
  }
  let inverse = select(0.0, 1.0 / total, total > 0.0);
  for (var i = 0u; i < parts(params.d); i++) { put(&y, start, i, params.d, sum[i] * inverse, 0u); }
  @if(!cached) lse[(b * params.heads + head) * params.t + t] = select(0.0, most + log(total), total > 0.0);
}
