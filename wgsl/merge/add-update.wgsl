// A tensor plus a multiple of an update that the host made: result = base + lambda update.
//
//   stack  (S, pitch) operands  base in slot 0
//   update (n4)       f32
//   result (n4)       results   out
//
// Checked against f64 in test/merge/methods/task-vectors/spectral.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n4: u32, lambda: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> update: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn add_update(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) { result[i] = store(load(stack[i]) + params.lambda * update[i]); }
}
