// The model where its importance reaches a threshold, the base elsewhere.
//
//   stack      (2, pitch) operands  base, model
//   importance (n4)       vec4f     of merge/row-importance
//   result     (n4)       results   out
//
// Checked in test/merge/methods/pairs/arcee-fusion.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n4: u32, pitch: u32, threshold: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> importance: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn arcee_fusion(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let keep = importance[i] >= vec4f(params.threshold);
    result[i] = store(select(load(stack[i]), load(stack[params.pitch + i]), keep));
  }
}
