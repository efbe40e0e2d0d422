// Sums of squares of a gradient, one per workgroup: the first half of a global norm.
//
//   gradient (N)  f32  from value `first` on
//   sums          f32  out: value `start` + workgroup
//
// A workgroup takes 16,384 values; lanes interleave, then a tree of fixed order. Checked against f64 in
// test/run/training/updater.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { n: u32, start: u32, first: u32 }

const VALUES = 16384u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn square_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let end = min((span + 1u) * VALUES, params.n);
  var sum = 0.0;
  for (var i = span * VALUES + lane; i < end; i += LANES) { let x = gradient[params.first + i]; sum += x * x; }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  if (lane == 0u && span * VALUES < params.n) { sums[params.start + span] = partial[0]; }
}
