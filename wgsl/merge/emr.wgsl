// Base plus the unified change of all models, or the part of it that is one model's:
//   s = sign(sum_k d_k), u = s max_k max(0, s d_k), result = base + scale u [task = 0 or d_task u > 0]
//
//   stack  (1 + K, pitch) operands  base in slot 0, d_k = x_k - base
//   result (n4)           results   out
//
// Source: EMR-Merging, arXiv:2405.17461. Checked against an f64 loop in test/merge/methods/task-vectors/emr.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params {
  n4: u32,
  pitch: u32,
  task: u32, // slot of a model, or 0
  scale: f32,
}

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn emr(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var total = vec4f(0.0);
    for (var k = 1u; k <= K; k++) { total += load(stack[k * params.pitch + i]) - base; }
    let s = sign(total);
    var most = vec4f(0.0);
    for (var k = 1u; k <= K; k++) { most = max(most, s * (load(stack[k * params.pitch + i]) - base)); }
    let unified = s * most;
    let own = load(stack[params.task * params.pitch + i]) - base;
    let kept = (own * unified > vec4f(0.0)) | vec4<bool>(params.task == 0u);
    result[i] = store(base + params.scale * select(vec4f(0.0), unified, kept));
  }
}
