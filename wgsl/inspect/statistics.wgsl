// Partial statistics of a tensor: sum, sum of squares, largest magnitude, and how many values are NaN, infinite or
// zero.
//
//   values   (n4)       operands  the padding after the last value is zero; the host takes it off the zeros
//   partials (spans, 2) vec4u     out: (bits of the sum, bits of the sum of squares, bits of the largest magnitude, 0),
//                                 (NaNs, infinities, zeros, 0)
//
// NaNs and infinities are counted and left out of the rest. Each span is read twice, the second time from cache: sums
// are of values divided by the power of two below the span's largest, so that squares neither overflow nor vanish in
// any range of f32; the host multiplies it back in f64. Kinds of numbers are recognised by their bits, because
// compilers may fold x != x. Checked against f64 in test/inspect/statistics.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};

struct Params { n4: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<Operand>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4u>;

const INFINITY = 0x7f800000u;

var<workgroup> tallies: array<vec4u, LANES>;  // NaNs, infinities, zeros, bits of the largest finite magnitude
var<workgroup> sums: array<vec2f, LANES>;     // sum, sum of squares, both scaled

fn count(which: vec4<bool>) -> u32 {
  return dot(select(vec4u(0u), vec4u(1u), which), vec4u(1u));
}

@compute @workgroup_size(64)
fn statistics(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, params.n4);

  var tally = vec4u(0u);
  var largest = vec4u(0u);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let bits = bitcast<vec4u>(load(values[i])) & vec4u(0x7fffffffu);
    tally += vec4u(count(bits > vec4u(INFINITY)), count(bits == vec4u(INFINITY)), count(bits == vec4u(0u)), 0u);
    largest = max(largest, select(vec4u(0u), bits, bits < vec4u(INFINITY)));
  }
  tallies[lane] = vec4u(tally.xyz, max(max(largest.x, largest.y), max(largest.z, largest.w)));
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let mine = tallies[lane];
      let other = tallies[lane + half];
      tallies[lane] = vec4u(mine.xyz + other.xyz, max(mine.w, other.w));
    }
  }
  workgroupBarrier();
  let all = tallies[0];
  // 2^-e for a largest value in [2^e, 2^(e+1)); one less at the very top, where 2^-e would be subnormal.
  let scale = bitcast<f32>((254u - min(all.w >> 23u, 253u)) << 23u);

  var sum = vec4f(0.0);
  var squares = vec4f(0.0);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let value = load(values[i]);
    let finite = (bitcast<vec4u>(value) & vec4u(0x7fffffffu)) < vec4u(INFINITY);
    let x = select(vec4f(0.0), value, finite) * scale;
    sum += x;
    squares = fma(x, x, squares);
  }
  let ones = vec4f(1.0);
  sums[lane] = vec2f(dot(sum, ones), dot(squares, ones));
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  if (lane == 0u && span * SPAN < params.n4) {
    partials[2u * span] = vec4u(bitcast<vec2u>(sums[0]), all.w, 0u);
    partials[2u * span + 1u] = vec4u(all.xyz, 0u);
  }
}
