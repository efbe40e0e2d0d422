// SwiGLU: y = silu(gate) * up. arXiv:2002.05202
//
//   gate, up (N)  f32
//   y (N)         f32  out
//
// Checked against f64 in test/tensor/ops/activation.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_sigmoid;

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn swiglu(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN * 4u;
  let end = min(start + SPAN * 4u, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let g = gate[i];
    y[i] = g * exact_sigmoid(g) * up[i];
  }
}
