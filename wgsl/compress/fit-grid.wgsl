// Scales and zero points of groups of a matrix, from the range of their values:
//
//   lo = min(0, min w), hi = max(0, max w), both within shrink max |w|
//   symmetric: hi = max |w|, lo = -hi;  zeros alone: lo = -1, hi = 1
//   s  = (hi - lo) / span, z = round(-lo / s);  symmetric: z = middle
//
// With `steps` above 1 the range is shrunk to p lo, p hi, p = 1 - i / 100, and the p with the least
// sum |w - s (q - z)|^2.4 stays. Scales are rounded to their type (@if round_bf16, round_f16) before zero points and
// codes are chosen.
//
//   weight (rows, columns)  f32
//   scales (rows, groups)   f32  out, the groups first .. first + count
//   zeros  (rows, groups)   f32  out
//
// One invocation a group. Frantar et al. 2022, arXiv:2210.17323, and its code. Checked against f64 in
// test/compress/nearest-codes.test.ts.

import package::lib::grid::{LANES, span_of};
import package::lib::rounding::rounded;

struct Params {
  rows: u32,
  columns: u32,
  group: u32,
  groups: u32,
  first: u32,
  count: u32,
  symmetric: u32,
  steps: u32,
  span: f32,
  top: f32,
  middle: f32,
  least: f32,
  most: f32,
  empty: f32,
  shrink: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> zeros: array<f32>;

// Scale and zero point of a range.
fn grid_of(lo: f32, hi: f32) -> vec2f {
  let s = rounded(vec4f(clamp((hi - lo) / params.span, params.least, params.most))).x;
  let z = select(clamp(round(-lo / s), 0.0, params.top), params.middle, params.symmetric == 1u);
  return vec2f(s, z);
}

@compute @workgroup_size(64)
fn fit_grid(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let i = span_of(workgroup, workgroups) * LANES + lane;
  if (i >= params.rows * params.count) { return; }
  let row = i / params.count;
  let g = params.first + i % params.count;
  let begin = row * params.columns + g * params.group;
  let end = row * params.columns + min(params.columns, (g + 1u) * params.group);
  var lo = 0.0;
  var hi = 0.0;
  for (var k = begin; k < end; k++) {
    lo = min(lo, weight[k]);
    hi = max(hi, weight[k]);
  }
  let at = row * params.groups + g;
  if (lo == 0.0 && hi == 0.0) {
    let still = grid_of(-1.0, 1.0);
    scales[at] = select(params.empty, still.x, params.empty < 0.0);
    zeros[at] = still.y;
    return;
  }
  let bound = params.shrink * max(hi, -lo);
  lo = max(lo, -bound);
  hi = min(hi, bound);
  if (params.symmetric == 1u) {
    hi = max(hi, -lo);
    lo = -hi;
  }
  var best = grid_of(lo, hi);
  var least = 3.4e38;
  for (var step = 0u; step < params.steps; step++) {
    let p = 1.0 - f32(step) / 100.0;
    let grid = grid_of(p * lo, p * hi);
    var lost = 0.0;
    for (var k = begin; k < end; k++) {
      let q = clamp(round(weight[k] / grid.x) + grid.y, 0.0, params.top);
      let d = abs(weight[k] - grid.x * (q - grid.y));
      lost += select(0.0, pow(d, 2.4), d > 0.0);
    }
    if (lost < least) {
      least = lost;
      best = grid;
    }
  }
  scales[at] = best.x;
  zeros[at] = best.y;
}
