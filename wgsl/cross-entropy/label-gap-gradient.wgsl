// Gradient of a label's gap to the logits: the softmax of the others, and -1 at the label, times the row's own
// gradient.
//
//   logits  (N, V)  f32
//   targets (N)     i32  negative: zeros
//   lse     (N, 2)  f32  as wgsl/cross-entropy/label-gap.wgsl left it
//   d_gaps  (N)     f32
//   dx      (N, V)  f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/label-gap.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_exp;

struct Params { count: u32, v: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> d_gaps: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn label_gap_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.v;
    let target_id = targets[row];
    var d = 0.0;
    if (target_id >= 0 && u32(target_id) < params.v) {
      d = -1.0;
      if (i % params.v != u32(target_id)) { d = exact_exp((logits[i] - lse[2u * row]) - lse[2u * row + 1u]); }
      d *= d_gaps[row];
    }
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
