// What EMR-Merging scales a model's part of the unified change by, as partial sums: of |d_k|, and of |u| where d_k has
// the sign of u. u and d_k are those of merge/emr.
//
//   stack    (1 + K, pitch)  operands  base in slot 0
//   partials (spans, K, 64)  vec2f     out, of each lane of each reduction span
//
// The host adds the partials in f64. Padding is zero and adds nothing. Source: arXiv:2405.17461. Checked against an f64
// loop in test/merge/methods/task-vectors/emr.test.ts.

import package::lib::grid::{LANES, REDUCE_SPAN, span_of};
import package::lib::operand::{Operand, load};

struct Params { n4: u32, pitch: u32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec2f>;

@compute @workgroup_size(64)
fn emr_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * REDUCE_SPAN + REDUCE_SPAN, params.n4);
  for (var model = 1u; model <= K; model++) {
    var size = vec4f(0.0);
    var kept = vec4f(0.0);
    for (var i = span * REDUCE_SPAN + lane; i < last; i += LANES) {
      let base = load(stack[i]);
      var total = vec4f(0.0);
      for (var k = 1u; k <= K; k++) { total += load(stack[k * params.pitch + i]) - base; }
      let s = sign(total);
      var most = vec4f(0.0);
      for (var k = 1u; k <= K; k++) { most = max(most, s * (load(stack[k * params.pitch + i]) - base)); }
      let own = load(stack[model * params.pitch + i]) - base;
      size += abs(own);
      kept += select(vec4f(0.0), most, own * s * most > vec4f(0.0));
    }
    if (span * REDUCE_SPAN < params.n4) {
      partials[(span * K + model - 1u) * LANES + lane] = vec2f(dot(size, vec4f(1.0)), dot(kept, vec4f(1.0)));
    }
  }
}
