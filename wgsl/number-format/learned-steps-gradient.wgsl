// Gradients of learned-steps: the weight's own where it is within the range, and of a row's step
//
//   ds = factor sum of dy (round(w / s) - w / s) within the range, dy (+-most) past it
//
//   w, dy, dw (rows, columns)  f32  dw is added to
//   s, ds     (rows)           f32  ds is out, or in and out: added with `accumulate_s` 1
//
// One row at a time, as lib/row.wgsl has it. Checked against f64 in test/tensor/ops/number-format.test.ts.

import package::lib::row::{row_first, row_leads, row_of, row_step, row_sum};

struct Params { rows: u32, columns: u32, most: f32, factor: f32, accumulate_w: u32, accumulate_s: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> s: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@if(weights) @group(0) @binding(4) var<storage, read_write> dw: array<f32>;
@if(steps) @group(0) @binding(5) var<storage, read_write> ds: array<f32>;

@compute @workgroup_size(64)
fn learned_steps_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let known = row < params.rows;
  let given = s[select(0u, row, known)];
  let step = max(abs(given), 1e-12);
  let start = row * params.columns;
  let end = select(0u, params.columns, known);
  var sum = 0.0;
  for (var c = row_first(lane); c < end; c += row_step) {
    let i = start + c;
    let v = w[i] / step;
    let inside = abs(v) <= params.most;
    sum += dy[i] * select(select(params.most, -params.most, v < 0.0), round(v) - v, inside);
    @if(weights) {
      let through = select(0.0, dy[i], inside);
      if (params.accumulate_w == 0u) { dw[i] = through; } else { dw[i] += through; }
    }
  }
  sum = row_sum(sum, lane) * params.factor * select(1.0, -1.0, given < 0.0);
  @if(steps) {
    if (known && row_leads(lane)) {
      if (params.accumulate_s == 0u) { ds[row] = sum; } else { ds[row] += sum; }
    }
  }
}
