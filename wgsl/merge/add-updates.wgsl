// A weighted sum of a stack plus multiples of updates whose starts lie in a second stack:
//   result = sum_s weights[s] stack[s] + sum_k steps[k] (stack[first + k] - starts[k])
//
//   stack   (S, pitch)        operands  base, if any, and K models; `first` is the slot of the first model
//   starts  (K, starts_pitch) f32       where each model's update began
//   weights (S + K)           f32       weights, then steps
//   result  (n4)              results   out
//
// A weight of 0 leaves its tensor out. Checked against an f64 loop in test/merge/methods/federated/federated.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n4: u32, pitch: u32, starts_pitch: u32, slots: u32, k: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> starts: array<vec4f>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn add_updates(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    var sum = vec4f(0.0);
    for (var s = 0u; s < params.slots; s++) {
      if (weights[s] != 0.0) { sum += weights[s] * load(stack[s * params.pitch + i]); }
    }
    for (var k = 0u; k < params.k; k++) {
      let step = weights[params.slots + k];
      if (step != 0.0) {
        sum += step * (load(stack[(params.first + k) * params.pitch + i]) - starts[k * params.starts_pitch + i]);
      }
    }
    result[i] = store(sum);
  }
}
