// Inner products of a gradient with every task vector of a stack: what a coefficient's gradient is made of.
//
//   stack    (1 + K, pitch) operands  base in slot 0
//   gradient (n)              f32     of the same values
//   partials (spans, K)       f32     out, from `first` on: sum g * (x_k - base) of each reduction span
//
// Lanes interleave, then a tree of fixed order: the same bits every time. The host adds the partials in f64. Checked
// against an f64 loop in test/merge/tuning/merged-weights.test.ts.

import package::lib::grid::{LANES, REDUCE_SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::row::row_sum;

struct Params { n: u32, pitch: u32, k: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn gradient_dots(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let n4 = (params.n + 3u) / 4u;
  let last = min(span * REDUCE_SPAN + REDUCE_SPAN, n4);
  for (var k = 0u; k < params.k; k++) {
    var sum = vec4f(0.0);
    for (var i = span * REDUCE_SPAN + lane; i < last; i += LANES) {
      let d = load(stack[(k + 1u) * params.pitch + i]) - load(stack[i]);
      let there = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.n);
      sum = fma(select(vec4f(0.0), gradient[i], there), d, sum);
    }
    let total = row_sum(sum.x + sum.y + sum.z + sum.w, lane);
    if (lane == 0u && span * REDUCE_SPAN < n4) { partials[params.first + span * params.k + k] = total; }
  }
}
