// Partial inner products of two tensors of a stack, or of their differences from an origin: aa, ab and bb in one pass.
//
//   stack    (K, pitch) operands  a, b and origin are slots of it; under `delta` the origin is subtracted from both
//   partials (spans, 64) vec4f    out: (sum a*a, sum a*b, sum b*b, 0) of each lane of each reduction span
//
// The host adds the partials in f64. Padding is zero in every slot and adds nothing. Two levels and no atomics: the
// same bits every time. Checked against an f64 loop in test/wgsl/merge/dots.test.ts.

import package::lib::grid::{LANES, REDUCE_SPAN, span_of};
import package::lib::operand::{Operand, load};

struct Params { n4: u32, pitch: u32, a: u32, b: u32, origin: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

@compute @workgroup_size(64)
fn dots(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * REDUCE_SPAN + REDUCE_SPAN, params.n4);
  var aa = vec4f(0.0);
  var ab = vec4f(0.0);
  var bb = vec4f(0.0);
  for (var i = span * REDUCE_SPAN + lane; i < last; i += LANES) {
    var x = load(stack[params.a * params.pitch + i]);
    var y = load(stack[params.b * params.pitch + i]);
    @if(delta) let origin = load(stack[params.origin * params.pitch + i]);
    @if(delta) x -= origin;
    @if(delta) y -= origin;
    aa = fma(x, x, aa);
    ab = fma(x, y, ab);
    bb = fma(y, y, bb);
  }
  let ones = vec4f(1.0);
  if (span * REDUCE_SPAN < params.n4) {
    partials[span * LANES + lane] = vec4f(dot(aa, ones), dot(ab, ones), dot(bb, ones), 0.0);
  }
}
