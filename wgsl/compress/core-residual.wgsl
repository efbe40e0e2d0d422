// How far a product is from its target, by the importance of columns, and the slope of that.
//
//   product    (rows, columns)  f32
//   goal       (rows, columns)  f32
//   importance (columns)        f32
//   slopes     (rows, columns)  f32  out: 2 importance (product - goal)
//   sums       (spans)          f32  out: sum of importance (product - goal)^2 over a span, a workgroup each
//
// Lanes interleave, then a tree of fixed order. Checked against f64 in test/compress/armor.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> product: array<f32>;
@group(0) @binding(2) var<storage, read> goal: array<f32>;
@group(0) @binding(3) var<storage, read> importance: array<f32>;
@group(0) @binding(4) var<storage, read_write> slopes: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn core_residual(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let count = params.rows * params.columns;
  let end = min((span + 1u) * SPAN, count);
  var sum = 0.0;
  for (var i = span * SPAN + lane; i < end; i += LANES) {
    let apart = product[i] - goal[i];
    let weighed = importance[i % params.columns] * apart;
    slopes[i] = 2.0 * weighed;
    sum += weighed * apart;
  }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  if (lane == 0u && span * SPAN < count) { sums[span] = partial[0]; }
}
