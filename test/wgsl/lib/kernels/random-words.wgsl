// Random words, or draws of a given probability, by index. Exercises lib/random in test/wgsl/lib/random.test.ts.
//
//   result (n4) vec4u  out: words; with `chance` 1 for true and 0 for false

import package::lib::grid::{LANES, SPAN, span_of};
@if(!chance) import package::lib::random::random_bits;
@if(chance) import package::lib::random::bernoulli;

struct Params { n4: u32, start: u32, key_x: u32, key_y: u32, threshold: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<vec4u>;

@compute @workgroup_size(64)
fn random_words(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let index = vec4u(params.start + 4u * i) + vec4u(0u, 1u, 2u, 3u);
    let key = vec2u(params.key_x, params.key_y);
    @if(!chance) result[i] = random_bits(index, key);
    @if(chance) result[i] = select(vec4u(0u), vec4u(1u), bernoulli(index, key, params.threshold));
  }
}
