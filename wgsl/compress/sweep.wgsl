// One stretch of a sweep with error feedback: columns from `from_column` up to `to_column` take their last values one
// after another, and what each loses is made up for by the columns after it, up to `end`.
//
//   factor   (columns, columns)    f32    U, upper, with U^T U the inverse of the inputs' second moments
//   marks    (rows, columns)       u32    `masked`: 1 where the value becomes 0
//   scales   (rows, groups)        f32    `coded`
//   zeros    (rows, groups)        f32    `coded`, not `levels`: zero points, or offsets under `offsets`
//   group_of (columns)             u32    `coded`
//   levels   (count)               vec2f  `levels`: value and code, sorted by value
//   weight   (rows, columns)       f32    in and out
//   errors   (rows, 128)           f32    out: (w - q) / U_jj of the columns, at their distance from `start`
//   losses   (rows)                f32    in and out: half the sum of the squares of the errors
//   codes    (rows, columns)       u32    out, `coded`
//
// For column j with value w and last value q: e = (w - q) / U_jj, and column k > j loses e U_jk. Under `pattern`, all
// but `keep` of every `of_inputs` columns become 0, those with the least |w| / U_jj when the first of them is reached,
// and of equal ones the first. Under `coded`, q is the nearest value that a code stands for:
// scale (code - zero), code scale + offset under `offsets`, and scale level under `levels`. Where a scale is 0, it is
// the one that is nearest to 0.
//
// A lane to a row, whose values lie in workgroup memory: no barrier. Frantar et al., arXiv:2210.17323 and
// arXiv:2301.00774. Checked against f64 in test/compress/sweep.test.ts.

import package::lib::grid::span_of;
import package::lib::importance::importance;

struct Params {
  rows: u32, columns: u32, start: u32, from_column: u32, to_column: u32, end: u32,
  keep: u32, of_inputs: u32, groups: u32, top: u32
}

const ROWS = 32u;
const WIDTH = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@if(masked) @group(0) @binding(2) var<storage, read> marks: array<u32>;
@if(coded) @group(0) @binding(3) var<storage, read> scales: array<f32>;
@if(coded && !levels) @group(0) @binding(4) var<storage, read> zeros: array<f32>;
@if(coded) @group(0) @binding(5) var<storage, read> group_of: array<u32>;
@if(levels) @group(0) @binding(6) var<storage, read> levels: array<vec2f>;
@group(0) @binding(7) var<storage, read_write> weight: array<f32>;
@group(0) @binding(8) var<storage, read_write> errors: array<f32>;
@group(0) @binding(9) var<storage, read_write> losses: array<f32>;
@if(coded) @group(0) @binding(10) var<storage, read_write> codes: array<u32>;

var<workgroup> values: array<f32, 4096>;

fn place(column: u32, lane: u32) -> u32 {
  return (column - params.from_column) * ROWS + lane;
}

// Which of the next `of_inputs` columns go, a bit to each.
@if(pattern) fn leaving(first: u32, lane: u32) -> u32 {
  var found = 0u;
  for (var a = 0u; a < params.of_inputs; a++) {
    let own = importance(values[place(first + a, lane)], 1.0 / factor[(first + a) * (params.columns + 1u)]);
    var before = 0u;
    for (var b = 0u; b < params.of_inputs; b++) {
      let other = importance(values[place(first + b, lane)], 1.0 / factor[(first + b) * (params.columns + 1u)]);
      before += select(0u, 1u, other < own || (other == own && b < a));
    }
    found |= select(0u, 1u << a, before < params.of_inputs - params.keep);
  }
  return found;
}

// Value and code of the level that is nearest to x; of two at the same distance that of the even code.
@if(levels) fn nearest_level(x: f32) -> vec2f {
  var low = 0u;
  var high = params.top;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (levels[middle].x <= x) { low = middle; } else { high = middle; }
  }
  let below = levels[low];
  let above = levels[high];
  let left = x - below.x;
  let right = above.x - x;
  return select(below, above, right < left || (right == left && u32(above.y) % 2u == 0u));
}

@compute @workgroup_size(32)
fn sweep(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups) * ROWS + lane;
  if (row >= params.rows) { return; }
  let own = row * params.columns;
  for (var k = params.from_column; k < params.end; k++) { values[place(k, lane)] = weight[own + k]; }
  var loss = 0.0;
  @if(pattern) var gone = 0u;
  for (var j = params.from_column; j < params.to_column; j++) {
    let w = values[place(j, lane)];
    var wanted = w;
    @if(masked) wanted = select(w, 0.0, marks[own + j] != 0u);
    @if(pattern) if (j % params.of_inputs == 0u) { gone = leaving(j, lane); }
    @if(pattern) wanted = select(w, 0.0, ((gone >> (j % params.of_inputs)) & 1u) == 1u);
    var q = wanted;
    @if(coded) {
      let cell = row * params.groups + group_of[j];
      let scale = scales[cell];
      @if(levels) {
        let level = nearest_level(select(wanted / scale, 0.0, scale == 0.0));
        codes[own + j] = u32(level.y);
        q = scale * level.x;
      }
      @if(!levels) {
        let zero = zeros[cell];
        @if(offsets) let above = wanted - zero;
        @if(!offsets) let above = wanted;
        let steps = round(select(above / scale, 0.0, scale == 0.0));
        @if(offsets) let code = clamp(steps, 0.0, f32(params.top));
        @if(!offsets) let code = clamp(steps + zero, 0.0, f32(params.top));
        codes[own + j] = u32(code);
        @if(offsets) q = code * scale + zero;
        @if(!offsets) q = scale * (code - zero);
      }
    }
    let line = j * params.columns;
    let e = (w - q) / factor[line + j];
    loss += 0.5 * e * e;
    errors[row * WIDTH + j - params.start] = e;
    values[place(j, lane)] = q;
    for (var k = j + 1u; k < params.end; k++) { values[place(k, lane)] -= e * factor[line + k]; }
  }
  for (var k = params.from_column; k < params.end; k++) { weight[own + k] = values[place(k, lane)]; }
  losses[row] += loss;
}
