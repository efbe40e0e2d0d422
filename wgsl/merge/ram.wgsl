// Base plus what the models changed: where one model did, its task vector; where several did, the mean of theirs.
//   d_i = x_i - base, active where |d_i| > epsilon
//   one active:  result = base + factors[i] d_i        several: result = base + mean of the active d_i        none:
//                                                      base
//
//   stack   (1 + K, pitch) operands  base in slot 0
//   factors (K)            f32       of entries that only model i changed
//   result  (n4)           results   out
//
// Under round_* every step is rounded to the working dtype. Checked against an f64 loop in
// test/merge/methods/task-vectors/ram.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;

struct Params { n4: u32, pitch: u32, epsilon: f32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn ram(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var sum = vec4f(0.0);
    var unique = vec4f(0.0);
    var count = vec4f(0.0);
    for (var k = 0u; k < K; k++) {
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - base);
      let changed = abs(d) > vec4f(params.epsilon);
      sum += select(vec4f(0.0), d, changed);
      unique += select(vec4f(0.0), rounded(factors[k] * d), changed); // the only term wherever it is used
      count += select(vec4f(0.0), vec4f(1.0), changed);
    }
    let shared_mean = rounded(sum / max(count, vec4f(1.0)));
    result[i] = store(rounded(base + select(shared_mean, unique, count == vec4f(1.0))));
  }
}
