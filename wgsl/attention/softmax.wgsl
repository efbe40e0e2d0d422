// Probabilities of attention out of its scores, in place, for scores that were made as a matrix.
//
//   segments (B, T)        i32  only with `segments`: a query sees its own segment, segment 0 sees nothing
//   sinks    (H)           f32  only with `sinks`: one more score of every query that sees a key, without a value
//   s        (B, H, T, T)  f32  in and out; 0 where a query does not see a key
//   lse      (B, H, T)     f32  out: log of the sum of the exponentials; with `again` in: probabilities follow from it
//
// With `capped` scores become cap tanh(score / cap) first. One lane a query. Checked against f64 in
// test/tensor/ops/attention.test.ts.

import package::lib::grid::span_of;
import package::lib::exact::{exact_exp, exact_tanh};

struct Params { rows: u32, t: u32, heads: u32, causal: u32, window: u32, cap: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(segments) @group(0) @binding(1) var<storage, read> segments: array<i32>;
@if(sinks) @group(0) @binding(2) var<storage, read> sinks: array<f32>;
@group(0) @binding(3) var<storage, read_write> s: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(64)
fn softmax(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups) * 64u + lane;
  if (row >= params.rows) { return; }
  let query = row % params.t;
  let start = row * params.t;
  var end = params.t;
  if (params.causal == 1u) { end = query + 1u; }
  var first = 0u;
  if (params.window > 0u && end > params.window) { first = end - params.window; }
  @if(capped) for (var key = first; key < end; key++) { s[start + key] = params.cap * exact_tanh(s[start + key] / params.cap); }
  @if(segments) let base = row / (params.heads * params.t) * params.t;
  @if(segments) let segment = segments[base + query];
  @if(segments) if (segment == 0) { end = first; }
  @if(segments) for (var key = first; key < end; key++) { if (segments[base + key] != segment) { s[start + key] = -3.0e38; } }

  var level = 0.0;
  @if(again) level = lse[row];
  @if(!again) var most = -3.0e38;
  @if(!again) for (var key = first; key < end; key++) { most = max(most, s[start + key]); }
  @if(sinks) let sees = most > -3.0e38;
  @if(sinks) let sink = sinks[row / params.t % params.heads];
  @if(sinks) most = select(most, max(most, sink), sees);
  @if(!again) var total = 0.0;
  @if(!again) for (var key = first; key < end; key++) { total += exact_exp(s[start + key] - most); }
  @if(sinks) total += select(0.0, exact_exp(sink - most), sees);
  @if(!again) if (total > 0.0) { level = most + log(total); }
  @if(!again) lse[row] = level;
  for (var key = 0u; key < first; key++) { s[start + key] = 0.0; }
  @if(again) for (var key = first; key < end; key++) { s[start + key] = exact_exp(s[start + key] - level); }
  @if(!again) let inverse = select(0.0, 1.0 / total, total > 0.0);
  @if(!again) for (var key = first; key < end; key++) { s[start + key] = exact_exp(s[start + key] - most) * inverse; }
  for (var key = end; key < params.t; key++) { s[start + key] = 0.0; }
}
