// One task vector of a stack as plain f32 values, written to its place in a whole tensor: values[start + i] = x[i] -
// base[i].
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   values (N)            f32       out, n of them from `start` on
//
// Checked in test/merge/methods/task-vectors/doge.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};

struct Params { n: u32, pitch: u32, slot: u32, start: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn task_vector(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, (params.n + 3u) / 4u);
  for (var i = first + lane; i < last; i += LANES) {
    let d = load(stack[params.slot * params.pitch + i]) - load(stack[i]);
    for (var c = 0u; c < 4u; c++) {
      if (4u * i + c < params.n) { values[params.start + 4u * i + c] = d[c]; }
    }
  }
}
