// How far apart two tensors are: partial sums of d*d, a*a, a*b and b*b with d = a - b, largest magnitudes, and how many
// values differ in any bit.
//
//   left, right (n4)       operands  a and b, padded with zeros
//   partials    (spans, 2) vec4u     out: (bits of the sums dd, aa, ab, bb),
//                                    (bits of the largest |a|, |b|, |d| / 2, differing + 65536 * pairs left out)
//
// A pair with a NaN or an infinity is counted and left out of sums and magnitudes. Each span is read twice, the second
// time from cache: a, b and d are divided by the powers of two below their largest, as in inspect/statistics, each by
// its own. Differences are taken of halves, so that they cannot overflow. Checked against f64 in
// test/inspect/difference.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};

struct Params { n4: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<Operand>;
@group(0) @binding(2) var<storage, read> right: array<Operand>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4u>;

const INFINITY = 0x7f800000u;

var<workgroup> tallies: array<vec4u, LANES>;
var<workgroup> sums: array<vec4f, LANES>;

fn count(which: vec4<bool>) -> u32 {
  return dot(select(vec4u(0u), vec4u(1u), which), vec4u(1u));
}

fn magnitude(x: vec4f) -> vec4u {
  return bitcast<vec4u>(x) & vec4u(0x7fffffffu);
}

fn finite(x: vec4f) -> vec4<bool> {
  return magnitude(x) < vec4u(INFINITY);
}

// Compared as they are stored: unpacking may make all NaNs one.
fn differing(a: Operand, b: Operand) -> u32 {
  @if(in_bf16 || in_f16) let x = a ^ b;
  @if(in_bf16 || in_f16) return count(vec4u(x & vec2u(0xffffu), x >> vec2u(16u)) != vec4u(0u));
  @if(!in_bf16 && !in_f16) return count(bitcast<vec4u>(a) != bitcast<vec4u>(b));
}

fn most(x: vec4u) -> u32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}

fn scale_of(largest: u32) -> f32 {
  return bitcast<f32>((254u - min(largest >> 23u, 253u)) << 23u);
}

@compute @workgroup_size(64)
fn difference(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, params.n4);
  let none = vec4u(0u);

  var large_a = none;
  var large_b = none;
  var large_d = none;
  var counts = 0u;
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let a = load(left[i]);
    let b = load(right[i]);
    let ok = finite(a) & finite(b);
    counts += differing(left[i], right[i]) + (count(!ok) << 16u);
    large_a = max(large_a, select(none, magnitude(a), ok));
    large_b = max(large_b, select(none, magnitude(b), ok));
    large_d = max(large_d, select(none, magnitude(0.5 * a - 0.5 * b), ok));
  }
  tallies[lane] = vec4u(most(large_a), most(large_b), most(large_d), counts);
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let mine = tallies[lane];
      let other = tallies[lane + half];
      tallies[lane] = vec4u(max(mine.xyz, other.xyz), mine.w + other.w);
    }
  }
  workgroupBarrier();
  let all = tallies[0];

  let zero = vec4f(0.0);
  var dd = zero;
  var aa = zero;
  var ab = zero;
  var bb = zero;
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let x = load(left[i]);
    let y = load(right[i]);
    let ok = finite(x) & finite(y);
    let d = select(zero, 0.5 * x - 0.5 * y, ok) * scale_of(all.z);
    let a = select(zero, x, ok) * scale_of(all.x);
    let b = select(zero, y, ok) * scale_of(all.y);
    dd = fma(d, d, dd);
    aa = fma(a, a, aa);
    ab = fma(a, b, ab);
    bb = fma(b, b, bb);
  }
  let ones = vec4f(1.0);
  sums[lane] = vec4f(dot(dd, ones), dot(aa, ones), dot(ab, ones), dot(bb, ones));
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  if (lane == 0u && span * SPAN < params.n4) {
    partials[2u * span] = bitcast<vec4u>(sums[0]);
    partials[2u * span + 1u] = all;
  }
}
