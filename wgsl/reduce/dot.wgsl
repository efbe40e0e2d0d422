// Inner products of ranges of two vectors, or sums of one: one value per workgroup, of 16,384 values.
//
//   a (N), b (N)  f32  without `pair` b is not there and a is summed
//   sums          f32  out: one per workgroup
//
// Lanes interleave, then a tree of fixed order. Checked against f64 in test/tensor/ops/reduce.test.ts.

import package::lib::grid::{LANES, span_of};
import package::lib::row::row_sum;

struct Params { n: u32 }

const VALUES = 16384u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@if(pair) @group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn dot(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let end = min((span + 1u) * VALUES, params.n);
  var sum = 0.0;
  for (var i = span * VALUES + lane; i < end; i += LANES) {
    @if(pair) sum += a[i] * b[i];
    @if(!pair) sum += a[i];
  }
  let total = row_sum(sum, lane);
  if (lane == 0u && (span * VALUES < params.n || span == 0u)) { sums[span] = total; }
}
