// A scaled base plus any multiples of the task vectors, all of each or of a random part of its entries:
//   result = base_scale * base + sum_k (plain_k + kept_k [entry is drawn for k]) (x_k - base)
// where kept_k counts in the variant `drawn` only.
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   terms  (K)            Term
//   result (n4)           results   out
//
// Where a model equals the base, nothing is added: with base_scale 1 such a value keeps its bits. Under round_* every
// step is rounded to the working dtype. Checked against an f64 loop in test/merge/methods/closed-form.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
@if(drawn) import package::lib::random::bernoulli;
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;

struct Term {
  plain: f32,
  kept: f32,
  key_x: u32,
  key_y: u32,
  threshold: u32,  // an entry is drawn with probability threshold / 2^24
}

struct Params { n4: u32, pitch: u32, k: u32, start: u32, base_scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> terms: array<Term>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@if(drawn) fn drawn(index: vec4u, term: Term) -> vec4<bool> {
  return bernoulli(index, vec2u(term.key_x, term.key_y), term.threshold);
}

@compute @workgroup_size(64)
fn add_task_vectors(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    @if(drawn) let index = vec4u(params.start + 4u * i) + vec4u(0u, 1u, 2u, 3u);
    var sum = vec4f(0.0);
    for (var k = 0u; k < params.k; k++) {
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - base);
      var factor = vec4f(terms[k].plain);
      @if(drawn) factor += select(vec4f(0.0), vec4f(terms[k].kept), drawn(index, terms[k]));
      // A factor of 0 leaves its model out, even where it holds an infinity.
      sum += select(vec4f(0.0), rounded(factor * d), factor != vec4f(0.0));
    }
    result[i] = store(rounded(rounded(params.base_scale * base) + rounded(sum)));
  }
}
