// Adds scale * left * right to a range of a weight held in f32, in place.
//
//   weight (n)          f32  in and out: a part of (R, columns) that begins at (row, column)
//   left   (R, r)       f32  of the whole weight
//   right  (r, columns) f32
//
// One invocation per value; r is small (an adapter's rank), so both factors stay in the cache.
// Source: LoRA, arXiv:2106.09685. Checked against f64 in test/wgsl/load/low-rank.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, columns: u32, rank: u32, row: u32, column: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;

@compute @workgroup_size(64)
fn low_rank(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n);
  for (var i = first + lane; i < last; i += LANES) {
    let at = params.column + i;
    let row = params.row + at / params.columns;
    let column = at % params.columns;
    var sum = 0.0;
    for (var k = 0u; k < params.rank; k++) {
      sum = fma(left[row * params.rank + k], right[k * params.columns + column], sum);
    }
    weight[i] += params.scale * sum;
  }
}
