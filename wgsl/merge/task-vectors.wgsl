// Base plus the scaled combination of sparsified task vectors, with or without an election of signs, in one pass:
//   d_i = x_i - base, sparsified, times scale_i;  e_i = weight_i d_i
//   elect:  the sign of sum_i e_i (0 counts as +) decides; delta = sum of the e_i that carry it, divisor = sum of their
//           weights
//   plain:  delta = sum_i e_i, divisor as given
//   result = base + lambda * delta, under `normalized` lambda * delta / divisor
//
//   stack  (1 + K, pitch) operands   base in slot 0
//   models (K)            Sparsity
//   masks  (K, mask_pitch) u32       one bit per value, under by_mask only
//   result (n4)           results    out
//
// For an election positive and negative contributions are summed apart, so it needs no second look at the inputs.
// Sources: task arithmetic arXiv:2212.04089, TIES arXiv:2306.01708, DARE arXiv:2311.03099, Model Breadcrumbs
// arXiv:2312.06795, DELLA arXiv:2406.11617. Under round_* every step is rounded to the working dtype. Checked against
// an f64 loop in test/wgsl/merge/task-vectors.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;
import package::lib::sparsify::{Sparsity, survivors};
@if(by_mask) import package::lib::sparsify::{last_word, mask_bits};

struct Params {
  n4: u32,
  pitch: u32,
  start: u32,       // index of the chunk's first value in the tensor
  mask_pitch: u32,
  lambda: f32,
  divisor: f32,     // of the plain form
}

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> models: array<Sparsity>;
@if(by_mask) @group(0) @binding(3) var<storage, read> masks: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn task_vectors(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    let at = params.start + 4u * i;
    let index = vec4u(at, at + 1u, at + 2u, at + 3u);
    var up = vec4f(0.0);
    @if(elect) var down = vec4f(0.0);
    @if(elect && normalized) var up_share = vec4f(0.0);
    @if(elect && normalized) var down_share = vec4f(0.0);
    for (var k = 0u; k < K; k++) {
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - base);
      var mask = 0u;
      @if(by_mask) let row = k * params.mask_pitch;
      @if(by_mask) mask = mask_bits(masks[row + at / 32u], masks[row + last_word(at)], at);
      let keep = survivors(d, index, models[k], mask);
      let w = models[k].weight;
      let e = rounded(w * rounded(select(vec4f(0.0), d * models[k].scale, keep)));
      @if(!elect) up += e;
      @if(elect) up += max(e, vec4f(0.0));
      @if(elect) down += min(e, vec4f(0.0));
      @if(elect && normalized) up_share += select(vec4f(0.0), vec4f(w), e > vec4f(0.0));
      @if(elect && normalized) down_share += select(vec4f(0.0), vec4f(w), e < vec4f(0.0));
    }
    @if(elect) let positive = rounded(up + down) >= vec4f(0.0);
    @if(elect) var delta = rounded(select(down, up, positive));
    @if(!elect) var delta = rounded(up);
    @if(elect && normalized) var share = select(down_share, up_share, positive);
    @if(!elect && normalized) var share = vec4f(params.divisor);
    @if(normalized) share = rounded(select(share, vec4f(1.0), share == vec4f(0.0)));
    @if(normalized) delta = rounded(delta / share);
    result[i] = store(rounded(base + rounded(delta * params.lambda)));
  }
}
