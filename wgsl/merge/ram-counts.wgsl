// How many entries each model changed together with others, and alone.
//
//   stack    (1 + K, pitch) operands  base in slot 0; an entry is changed where |x_i - base| > epsilon
//   partials (spans, K)     vec2u     out: (shared, unique) of each span
//
// Padding is zero in every slot and counts as unchanged. The host adds the partials. Other definitions as in merge/ram.
// Checked against a loop in test/merge/methods/task-vectors/ram.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::rounding::rounded;

struct Params { n4: u32, pitch: u32, epsilon: f32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec2u>;

var<workgroup> sums: array<vec2u, LANES>;

fn changed(slot: u32, i: u32) -> vec4u {
  let d = rounded(load(stack[slot * params.pitch + i]) - load(stack[i]));
  return select(vec4u(0u), vec4u(1u), abs(d) > vec4f(params.epsilon));
}

fn total(flags: vec4<bool>) -> u32 {
  let ones = select(vec4u(0u), vec4u(1u), flags);
  return ones.x + ones.y + ones.z + ones.w;
}

@compute @workgroup_size(64)
fn ram_counts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, params.n4);
  // Every model looks at all others again: the vectors of a span stay in cache, and any number of models fits.
  for (var k = 0u; k < K; k++) {
    var found = vec2u(0u);
    for (var i = span * SPAN + lane; i < last; i += LANES) {
      let own = changed(k + 1u, i) == vec4u(1u);
      var count = vec4u(0u);
      for (var other = 0u; other < K; other++) { count += changed(other + 1u, i); }
      found += vec2u(total(own & (count > vec4u(1u))), total(own & (count == vec4u(1u))));
    }
    sums[lane] = found;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lane < half) { sums[lane] += sums[lane + half]; }
    }
    if (lane == 0u && span * SPAN < params.n4) { partials[span * K + k] = sums[0]; }
    workgroupBarrier();
  }
}
