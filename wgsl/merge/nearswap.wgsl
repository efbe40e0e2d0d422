// Towards the other model, the nearer it is: result = w x + (1 - w) base, w = clamp(t / max(|base - x|, 1e-6), 0, 1).
//
//   stack  (2, pitch) operands  base, x
//   result (n4)       results   out
//
// Checked against f64 in test/wgsl/merge/kernels.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;

struct Params { n4: u32, pitch: u32, t: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn nearswap(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    let x = load(stack[params.pitch + i]);
    let apart = max(rounded(abs(base - x)), vec4f(1e-6));
    let w = rounded(clamp(vec4f(params.t) / apart, vec4f(0.0), vec4f(1.0)));
    result[i] = store(rounded(rounded(w * x) + rounded(rounded(1.0 - w) * base)));
  }
}
