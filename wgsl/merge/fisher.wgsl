// The average of K tensors, each value weighted by its own importance: sum_k g_k x_k / sum_k g_k with
// g_k = shares[k] (statistics_k + floor).
//
//   stack      (K, pitch)            operands
//   statistics (K, statistics_pitch) f32       >= 0
//   shares     (K)                   f32       >= 0
//   result     (n4)                  results   out
//
// Summed as x_0 + sum_k g_k (x_k - x_0) / sum_k g_k, so that equal models keep their bits. Where every g is 0 the plain
// average stands. Source: arXiv:2111.09832. Checked against an f64 loop in test/merge/methods/averages/fisher.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n4: u32, pitch: u32, statistics_pitch: u32, k: u32, floor: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(3) var<storage, read> shares: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn fisher(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let x0 = load(stack[i]);
    var total = vec4f(0.0);
    var moved = vec4f(0.0);
    var plain = vec4f(0.0);
    for (var k = 0u; k < params.k; k++) {
      let g = shares[k] * (statistics[k * params.statistics_pitch + i] + params.floor);
      let d = load(stack[k * params.pitch + i]) - x0;
      total += g;
      moved += g * d;
      plain += d;
    }
    let none = total <= vec4f(0.0);
    let step = select(moved, plain, none) / select(total, vec4f(f32(params.k)), none);
    result[i] = store(x0 + step);
  }
}
