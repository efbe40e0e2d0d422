// A weighted sum of K tensors of one stack, in one pass: result = sum_k weights[k] * stack[k]; or, under `delta`, of
// their differences from the first: result = stack[0] + sum_(k > 0) weights[k] * (stack[k] - stack[0]), which does not
// cancel when the weights are large and the differences small.
//
//   stack   (K, pitch) operands  K tensors of n4 * 4 values each, rows padded to pitch
//   weights (K)        f32       any sign
//   result  (n4)       results   out
//
// The sum runs in the order of the stack. Under `stepwise` it is divided by `divisor` at the end and, under round_*,
// every product, the sum and the quotient are rounded to the working dtype; otherwise the host has divided the weights.
// K is a constant so that the loop unrolls: twice as fast on software drivers as a loop of unknown length. Checked
// against an f64 loop in test/wgsl/merge/combine.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;

struct Params { n4: u32, pitch: u32, divisor: f32 }

override K: u32 = 1;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn combine(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    var sum = vec4f(0.0);
    @if(delta) let origin = load(stack[i]);
    @if(delta) for (var k = 1u; k < K; k++) {
      sum += rounded(weights[k] * rounded(load(stack[k * params.pitch + i]) - origin));
    }
    @if(!delta) for (var k = 0u; k < K; k++) { sum += rounded(weights[k] * load(stack[k * params.pitch + i])); }
    @if(stepwise) sum = rounded(rounded(sum) / params.divisor);
    @if(delta) sum = rounded(origin + sum);
    result[i] = store(sum);
  }
}
