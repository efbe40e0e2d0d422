// Draws an output for every row of logits, each as likely as the softmax says.
//
//   logits   (N, V) f32
//   uniforms (N)    f32  in [0, 1)
//   draws    (N)    i32  out: the first output up to which the probabilities sum to more than the uniform number
//
// A lane sums a stretch of neighbouring outputs; the first then looks for the stretch, and in it for the output. One
// workgroup a row, or with `serial` one lane. Checked against f64 in test/tensor/ops/distribution.test.ts.

import package::lib::row::{row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;

struct Params { n: u32, v: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> uniforms: array<f32>;
@group(0) @binding(3) var<storage, read_write> draws: array<i32>;

@if(!serial) var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn draw_outputs(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.v; i += row_step) { most = max(most, logits[start + i]); }
  most = row_max(most, lane);
  @if(!serial) let width = (params.v + 63u) / 64u;
  @if(serial) let width = params.v;
  let first = row_first(lane) * width;
  var sum = 0.0;
  for (var i = first; i < min(first + width, params.v); i++) { sum += exact_exp(logits[start + i] - most); }
  @if(!serial) sums[lane] = sum;
  @if(!serial) workgroupBarrier();
  if (!row_leads(lane) || !used) { return; }
  @if(!serial) sum = 0.0;
  @if(!serial) for (var l = 0u; l < 64u; l++) { sum += sums[l]; }
  var left = uniforms[row] * sum;
  var at = 0u;
  @if(!serial) for (var l = 0u; l < 63u && left >= sums[l]; l++) {
    left -= sums[l];
    at += width;
  }
  // Rounding may leave a little after the last output that can be drawn: it is the last, then.
  var drawn = 0u;
  for (var i = min(at, params.v - 1u); i < params.v; i++) {
    let e = exact_exp(logits[start + i] - most);
    if (e > 0.0) { drawn = i; }
    if (left < e) { break; }
    left -= e;
  }
  draws[row] = i32(drawn);
}
