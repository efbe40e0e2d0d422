// Partial sums of squares of each task vector, under `selected` over the entries of largest variance only.
//
//   stack    (1 + K, pitch) operands  base in slot 0
//   variance (n4)           vec4f     of merge/sce-variance, under selected only
//   partials (spans, K)     f32       out
//
// Padding is zero in every slot and adds nothing. The host adds the partials in f64.
// Checked against an f64 loop in test/merge/methods/task-vectors/sce.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::rounding::rounded;
@if(selected) import package::lib::top::{in_top, magnitude_bits};

struct Params { n4: u32, pitch: u32, start: u32, low_bits: u32, low_index: u32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@if(selected) @group(0) @binding(2) var<storage, read> variance: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(64)
fn sce_squares(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, params.n4);
  for (var k = 0u; k < K; k++) {
    var squares = vec4f(0.0);
    for (var i = span * SPAN + lane; i < last; i += LANES) {
      var d = rounded(load(stack[(k + 1u) * params.pitch + i]) - load(stack[i]));
      @if(selected) let at = params.start + 4u * i;
      @if(selected) let index = vec4u(at, at + 1u, at + 2u, at + 3u);
      @if(selected) let keep = in_top(magnitude_bits(variance[i]), index, params.low_bits, params.low_index);
      @if(selected) d = select(vec4f(0.0), d, keep);
      squares = fma(d, d, squares);
    }
    sums[lane] = dot(squares, vec4f(1.0));
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lane < half) { sums[lane] += sums[lane + half]; }
    }
    if (lane == 0u && span * SPAN < params.n4) { partials[span * K + k] = sums[0]; }
    workgroupBarrier();
  }
}
