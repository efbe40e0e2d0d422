// A point drawn evenly from the likely values of a mixture of Gaussians whose means and deviations are averaged:
//   mu = sum_k w_k x_k, sigma = sum_k w_k s_k, result = mu + z sigma u, u even in [-1, 1)
// with s_k the statistic itself, or under `fisher` 1 / sqrt(rows_k statistic + precision).
//
//   stack      (K, pitch)            operands
//   statistics (K, statistics_pitch) f32       >= 0
//   models     (K)                   Share
//   result     (n4)                  results   out
//
// Source: IBCL, arXiv:2305.14782. Checked against an f64 loop in test/merge/methods/averages/pref-hull.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::random::random_bits;
import package::lib::result::{Result, store};

struct Share {
  weight: f32,
  rows: f32,
}

struct Params {
  n4: u32,
  pitch: u32,
  statistics_pitch: u32,
  k: u32,
  start: u32,
  key_x: u32,
  key_y: u32,
  inverse_prior: f32,
  z: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(3) var<storage, read> models: array<Share>;
@group(0) @binding(4) var<storage, read_write> result: array<Result>;

fn deviation(statistic: vec4f, rows: f32) -> vec4f {
  @if(fisher) return 1.0 / sqrt(rows * statistic + params.inverse_prior);
  @if(!fisher) return statistic;
}

@compute @workgroup_size(64)
fn pref_hull(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let x0 = load(stack[i]);
    var moved = vec4f(0.0);
    var sigma = vec4f(0.0);
    for (var k = 0u; k < params.k; k++) {
      let share = models[k];
      moved += share.weight * (load(stack[k * params.pitch + i]) - x0);
      sigma += share.weight * deviation(statistics[k * params.statistics_pitch + i], share.rows);
    }
    let index = vec4u(params.start + 4u * i) + vec4u(0u, 1u, 2u, 3u);
    let bits = random_bits(index, vec2u(params.key_x, params.key_y)) >> vec4u(8u);
    let u = vec4f(bits) * (2.0 / 16777216.0) - 1.0;
    result[i] = store(x0 + moved + params.z * sigma * u);
  }
}
