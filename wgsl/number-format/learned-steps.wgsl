// Integers of steps that are learnt: s clip(round(w / s), -most, most), a step for every row. Esser et al., Learned
// Step Size Quantization, ICLR 2020, https://arxiv.org/abs/1902.08153
//
//   w (rows, columns)  f32
//   s (rows)           f32  its magnitude counts
//   y (rows, columns)  f32  out
//
// Checked against f64 in test/tensor/ops/number-format.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, columns: u32, most: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> s: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn learned_steps(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let step = max(abs(s[i / params.columns]), 1e-12);
    y[i] = clamp(round(w[i] / step), -params.most, params.most) * step;
  }
}
