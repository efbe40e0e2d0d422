// Gradient of wgsl/activation/clamped-gate.wgsl; 0 beyond the limits, as PyTorch's clamp has it.
//
//   dy (N, W)    f32
//   x  (N, 2 W)  f32  gates in even columns, ups in odd ones
//   dx (N, 2 W)  f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/expert-layer.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_exp;

struct Params { count: u32, limit: f32, accumulate: u32 } // count: N * W

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec2f>;

@compute @workgroup_size(64)
fn clamped_gate_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let gate = min(x[i].x, params.limit);
    let up = clamp(x[i].y, -params.limit, params.limit);
    let share = 1.0 / (1.0 + exact_exp(-1.702 * gate));
    var d = dy[i] * vec2f((up + 1.0) * share * (1.0 + 1.702 * gate * (1.0 - share)), gate * share);
    if (x[i].x > params.limit) { d.x = 0.0; }
    if (abs(x[i].y) > params.limit) { d.y = 0.0; }
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
