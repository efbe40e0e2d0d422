// Gradients of y = silu(gate) * up, both in one pass.
//
//   dy, gate, up (N)    f32
//   d_gate, d_up (N)    f32  out, or in and out: added with `accumulate_gate`, `accumulate_up` 1
//
// Checked against finite differences in test/tensor/ops/activation.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_sigmoid;

struct Params { count: u32, accumulate_gate: u32, accumulate_up: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> gate: array<f32>;
@group(0) @binding(3) var<storage, read> up: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_gate: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_up: array<f32>;

@compute @workgroup_size(64)
fn swiglu_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN * 4u;
  let end = min(start + SPAN * 4u, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let g = gate[i];
    let s = exact_sigmoid(g);
    let of_gate = dy[i] * up[i] * s * (1.0 + g * (1.0 - s));
    let of_up = dy[i] * g * s;
    if (params.accumulate_gate == 0u) { d_gate[i] = of_gate; } else { d_gate[i] += of_gate; }
    if (params.accumulate_up == 0u) { d_up[i] = of_up; } else { d_up[i] += of_up; }
  }
}
