// Base plus those values of a joint change J that enough models need, or that one model needs:
//   need_k = |d_k| >= threshold |J - d_k|,  result = base + lambda J [task > 0 ? need_task : sum_k need_k >= least]
//
//   stack  (1 + K, pitch) operands  base in slot 0, d_k = x_k - base
//   joint  (n4)           f32       a merged model, under `joint` only: J is its change; else J = sum_k d_k
//   result (n4)           results   out
//
// Source: TALL-masks and Consensus Merging, arXiv:2405.07813. Checked against an f64 loop in
// test/merge/methods/task-vectors/consensus.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params {
  n4: u32,
  pitch: u32,
  task: u32, // slot of a model, or 0
  least: u32,
  threshold: f32,
  lambda: f32,
}

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@if(joint) @group(0) @binding(2) var<storage, read> joint: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn consensus(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var whole = vec4f(0.0);
    @if(joint) whole = joint[i] - base;
    @if(!joint) for (var k = 1u; k <= K; k++) { whole += load(stack[k * params.pitch + i]) - base; }
    var needs = vec4u(0u);
    for (var k = 1u; k <= K; k++) {
      let d = load(stack[k * params.pitch + i]) - base;
      let need = abs(d) >= params.threshold * abs(whole - d);
      let counts = params.task == 0u || params.task == k;
      needs += select(vec4u(0u), vec4u(1u), need & vec4<bool>(counts));
    }
    let kept = needs >= vec4u(params.least);
    result[i] = store(base + params.lambda * select(vec4f(0.0), whole, kept));
  }
}
