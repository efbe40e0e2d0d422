// Shares tokens out to experts by chance, to each as many as to the others or one more: the token whose random number
// is the r-th smallest of V goes to expert r E / V. Padding goes to the last expert.
//
//   shares  (N) f32  0 where a token is padding; with `padded`
//   experts (N) u32  out
//
// Each token counts the numbers below its own, in N steps; of equal ones that of the first token is smaller. Checked in
// test/tensor/ops/shares.test.ts.

import package::lib::grid::span_of;
import package::lib::random::random_bits;

struct Params { n: u32, e: u32, key: u32, seed: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(padded) @group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> experts: array<u32>;

fn counts(i: u32) -> bool {
  @if(padded) { return i < params.n && shares[i] > 0.0; }
  @if(!padded) { return i < params.n; }
}

@compute @workgroup_size(64)
fn share_out(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let own = span_of(group, groups) * 64u + lane;
  if (own >= params.n) { return; }
  if (!counts(own)) { experts[own] = params.e - 1u; return; }
  let key = vec2u(params.key, params.seed);
  let number = random_bits(vec4u(own), key).x;
  var rank = 0u;
  var all = 0u;
  for (var i = 0u; i < params.n; i += 4u) {
    let others = random_bits(vec4u(i, i + 1u, i + 2u, i + 3u), key);
    for (var j = 0u; j < 4u; j++) {
      if (!counts(i + j)) { continue; }
      all++;
      if (others[j] < number || (others[j] == number && i + j < own)) { rank++; }
    }
  }
  experts[own] = rank * params.e / all;
}
