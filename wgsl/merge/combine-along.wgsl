// A weighted sum of K tensors of one stack, with separate weights for every row (@if(rows)) or every column; under
// `delta` the base plus the weighted sum of the differences from it (slot 0, whose weight is not used).
//
//   stack   (K, pitch)   operands
//   weights (vectors, K) f32       vectors are all rows or all columns of the whole tensor
//   result  (n4)         results   out
//
// Checked against an f64 loop in test/merge/job/along-axis.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;

struct Params { n: u32, pitch: u32, k: u32, start: u32, columns: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

fn vector_of(at: u32) -> u32 {
  @if(rows) return at / params.columns;
  @if(!rows) return at % params.columns;
}

@compute @workgroup_size(64)
fn combine_along(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let n4 = (params.n + 3u) / 4u;
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, n4);
  let end = params.start + params.n - 1u; // padding takes the last value's weights
  for (var i = first + lane; i < last; i += LANES) {
    let at = params.start + 4u * i;
    let v = vec4u(vector_of(at), vector_of(min(at + 1u, end)), vector_of(min(at + 2u, end)), vector_of(min(at + 3u, end)));
    var sum = vec4f(0.0);
    var origin = vec4f(0.0);
    @if(delta) origin = load(stack[i]);
    for (var k = params.first; k < params.k; k++) {
      let w = vec4f(
        weights[v.x * params.k + k],
        weights[v.y * params.k + k],
        weights[v.z * params.k + k],
        weights[v.w * params.k + k],
      );
      sum += rounded(w * rounded(load(stack[k * params.pitch + i]) - origin));
    }
    result[i] = store(rounded(origin + rounded(sum)));
  }
}
