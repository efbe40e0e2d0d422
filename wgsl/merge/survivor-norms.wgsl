// Partial norms of each task vector before and after sparsification, for rescaling.
//
//   partials (spans, K, 64) vec2f  out, of each lane of each reduction span: (before, after); sums of |d|, under l2 of
//                                  d^2, under linf the largest |d|
//
// Other bindings as in merge/task-vectors. The host combines the partials in f64.
// Checked against an f64 loop in test/wgsl/merge/survivor-norms.test.ts.

import package::lib::grid::{LANES, REDUCE_SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::rounding::rounded;
import package::lib::sparsify::{Sparsity, survivors};
@if(by_mask) import package::lib::sparsify::{last_word, mask_bits};

struct Params { n4: u32, pitch: u32, start: u32, mask_pitch: u32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> models: array<Sparsity>;
@if(by_mask) @group(0) @binding(3) var<storage, read> masks: array<u32>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec2f>;

fn joined(a: vec2f, b: vec2f) -> vec2f {
  @if(linf) return max(a, b);
  @if(!linf) return a + b;
}

@compute @workgroup_size(64)
fn survivor_norms(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * REDUCE_SPAN + REDUCE_SPAN, params.n4);
  for (var k = 0u; k < K; k++) {
    var before = vec4f(0.0);
    var after = vec4f(0.0);
    for (var i = span * REDUCE_SPAN + lane; i < last; i += LANES) {
      let at = params.start + 4u * i;
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - load(stack[i]));
      var mask = 0u;
      @if(by_mask) let row = k * params.mask_pitch;
      @if(by_mask) mask = mask_bits(masks[row + at / 32u], masks[row + last_word(at)], at);
      let keep = survivors(d, vec4u(at, at + 1u, at + 2u, at + 3u), models[k], mask);
      @if(l2) let size = d * d;
      @if(!l2) let size = abs(d);
      let kept = select(vec4f(0.0), size, keep);
      @if(linf) before = max(before, size);
      @if(linf) after = max(after, kept);
      @if(!linf) before += size;
      @if(!linf) after += kept;
    }
    let halves = joined(vec2f(before.x, after.x), vec2f(before.y, after.y));
    if (span * REDUCE_SPAN < params.n4) {
      partials[(span * K + k) * LANES + lane] = joined(halves, joined(vec2f(before.z, after.z), vec2f(before.w, after.w)));
    }
  }
}
