// Base plus, value by value, the change of largest magnitude: result = base + lambda d_j, d_k = x_k - base, |d_j| the
// largest of all |d_k|; of equal ones the last counts.
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   result (n4)           results   out
//
// Under round_* every step is rounded to the working dtype. Checked against an f64 loop in
// test/merge/methods/task-vectors/magmax.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;

struct Params { n4: u32, pitch: u32, lambda: f32 }

override K: u32 = 1; // models; a constant, so that the loop unrolls

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn magmax(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var most = vec4f(0.0);
    for (var k = 1u; k <= K; k++) {
      let d = rounded(load(stack[k * params.pitch + i]) - base);
      most = select(most, d, abs(d) >= abs(most));
    }
    result[i] = store(rounded(base + rounded(params.lambda * most)));
  }
}
