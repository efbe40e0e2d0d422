// Codes of a matrix: of every value the nearest on the grid of its group, an integer or (@if levels) one of a table.
//
//   weight   (rows, columns)  f32
//   scales   (rows, groups)   f32
//   zeros    (rows, groups)   f32  of integers
//   group_of (columns)        u32
//   levels   (count)          f32  @if levels: ascending
//   names    (count)          u32  @if levels: the code of each
//   codes    (rows * columns) u8   out, four in a word
//
// A scale of 0 gives the code of 0. Between two levels the even code. One invocation a word. Checked against f64 in
// test/compress/nearest-codes.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { rows: u32, columns: u32, groups: u32, count: u32, top: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> zeros: array<f32>;
@group(0) @binding(4) var<storage, read> group_of: array<u32>;
@if(levels) @group(0) @binding(5) var<storage, read> levels: array<f32>;
@if(levels) @group(0) @binding(6) var<storage, read> names: array<u32>;
@group(0) @binding(7) var<storage, read_write> codes: array<u32>;

@if(!levels)
fn code_of(x: f32, zero: f32) -> u32 {
  return u32(clamp(round(x) + zero, 0.0, params.top));
}

@if(levels)
fn code_of(x: f32, zero: f32) -> u32 {
  // The last level that is not above x, the first where all are.
  var low = 0u;
  var high = params.count;
  while (high - low > 1u) {
    let between = (low + high) / 2u;
    if (levels[between] <= x) { low = between; } else { high = between; }
  }
  let next = min(low + 1u, params.count - 1u);
  let below = x - levels[low];
  let above = levels[next] - x;
  let up = above < below || (above == below && names[low] % 2u == 1u);
  return select(names[low], names[next], up);
}

@compute @workgroup_size(64)
fn nearest_codes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
) {
  let word = span_of(workgroup, workgroups) * LANES + lane;
  let n = params.rows * params.columns;
  if (4u * word >= n) { return; }
  var packed = 0u;
  for (var c = 0u; c < 4u; c++) {
    let k = 4u * word + c;
    if (k >= n) { break; }
    let cell = (k / params.columns) * params.groups + group_of[k % params.columns];
    let x = select(weight[k] / scales[cell], 0.0, scales[cell] == 0.0);
    packed |= code_of(x, zeros[cell]) << (8u * c);
  }
  codes[word] = packed;
}
