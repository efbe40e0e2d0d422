// The gated unit of gpt-oss: (up + 1) gate sigmoid(1.702 gate), with the gate at most `limit` and up between -limit and
// limit. arXiv:2508.10925
//
//   x (N, 2 W)  f32  gates in even columns, ups in odd ones
//   y (N, W)    f32  out
//
// Checked against f64 in test/tensor/ops/expert-layer.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_exp;

struct Params { count: u32, limit: f32 } // count: N * W

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn clamped_gate(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let gate = min(x[i].x, params.limit);
    let up = clamp(x[i].y, -params.limit, params.limit);
    y[i] = (up + 1.0) * gate / (1.0 + exact_exp(-1.702 * gate));
  }
}
