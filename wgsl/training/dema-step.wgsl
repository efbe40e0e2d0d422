// average = (1 - alpha) average + alpha weight, with alpha = 2 (1 + b) / (a c) of the whole weight: a its distance from
// the average, b its gradient, c the gradient's change, each a sum of absolute values. Where alpha is not in (0, 1), or
// nothing is known of the step before, it is `fallback`.
//
//   weight (N)   f32
//   sums (3 K)   f32  of wgsl/training/dema-sums.wgsl: `count` triples from triple `first`
//   average (N)  f32  in and out
//
// Checked in test/run/training/rules/moving-average.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, first: u32, count: u32, known: u32, fallback: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> average: array<f32>;

fn alpha_of() -> f32 {
  var sum = vec3f(0.0);
  for (var k = params.first; k < params.first + params.count; k++) {
    sum += vec3f(sums[3u * k], sums[3u * k + 1u], sums[3u * k + 2u]);
  }
  let below = sum.x * sum.z;
  let above = 2.0 * (1.0 + sum.y);
  // Comparisons are false for NaN, and above < below leaves out division by 0.
  let fits = params.known == 1u && above > 0.0 && below > above && below < 3e38;
  return select(params.fallback, above / max(below, 1e-30), fits);
}

@compute @workgroup_size(64)
fn dema_step(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  let alpha = alpha_of();
  for (var i = start + lane; i < end; i += LANES) {
    average[i] += alpha * (weight[i] - average[i]);
  }
}
