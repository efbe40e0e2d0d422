// Absolute sums of a weight's step away from its average, of its gradient, and of the gradient's change: three per
// workgroup. The gradient takes the place of the one before.
//
//   weight, average, gradient (N)  f32
//   previous (N)                   f32  in and out: the gradient of the step before
//   sums                           f32  out: three values from 3 * (start + workgroup)
//
// A workgroup takes 16,384 values; lanes interleave, then a tree of fixed order. Checked in
// test/run/training/rules/moving-average.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { n: u32, start: u32 }

const VALUES = 16384u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> average: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> previous: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

var<workgroup> partial: array<vec3f, 64>;

@compute @workgroup_size(64)
fn dema_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let end = min((span + 1u) * VALUES, params.n);
  var sum = vec3f(0.0);
  for (var i = span * VALUES + lane; i < end; i += LANES) {
    let g = gradient[i];
    sum += vec3f(abs(weight[i] - average[i]), abs(g), abs(g - previous[i]));
    previous[i] = g;
  }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  if (lane == 0u && span * VALUES < max(params.n, 1u)) {
    let at = 3u * (params.start + span);
    sums[at] = partial[0].x;
    sums[at + 1u] = partial[0].y;
    sums[at + 2u] = partial[0].z;
  }
}
