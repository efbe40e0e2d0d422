// Base plus the weighted mean of the task vectors that carry the sign of their plain sum, under `selected` only for the
// entries of largest variance:  result = base + sum_i w_i d_i / sum_i w_i over the agreeing models
//
//   stack    (1 + K, pitch) operands  base in slot 0
//   weights  (K)            f32       >= 0
//   variance (n4)           vec4f     of merge/sce-variance, under selected only
//   result   (n4)           results   out
//
// A sum of 0 counts as +; an entry that is 0 agrees with neither sign. Under round_* every step is rounded to the
// working dtype. Source: the select, calculate and erase steps of FuseChat, arXiv:2408.07990. Checked against an f64
// loop in test/merge/methods/task-vectors/sce.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;
@if(selected) import package::lib::top::{in_top, magnitude_bits};

struct Params { n4: u32, pitch: u32, start: u32, low_bits: u32, low_index: u32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@if(selected) @group(0) @binding(3) var<storage, read> variance: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn sce(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  let zero = vec4f(0.0);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var sum = zero;
    var up = zero;
    var down = zero;
    var up_share = zero;
    var down_share = zero;
    for (var k = 0u; k < K; k++) {
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - base);
      let w = weights[k];
      let e = rounded(w * d);
      sum += d;
      up += select(zero, e, d > zero);
      down += select(zero, e, d < zero);
      up_share += select(zero, vec4f(w), d > zero);
      down_share += select(zero, vec4f(w), d < zero);
    }
    let positive = rounded(sum) >= zero;
    let delta = rounded(select(down, up, positive));
    let share = max(rounded(select(down_share, up_share, positive)), vec4f(1e-6));
    var merged = rounded(base + rounded(delta / share));
    @if(selected) let at = params.start + 4u * i;
    @if(selected) let index = vec4u(at, at + 1u, at + 2u, at + 3u);
    @if(selected) let keep = in_top(magnitude_bits(variance[i]), index, params.low_bits, params.low_index);
    @if(selected) merged = select(base, merged, keep);
    result[i] = store(merged);
  }
}
