// Makes matrices ternary: w becomes g clip(round(w / (g + 1e-8)), -1, 1), g the mean magnitude of its matrix.
//
//   means  (parts)     f32  g of each
//   weight (parts, n)  f32  in and out
//
// Ma et al. 2024, arXiv:2402.17764. Checked against f64 in test/run/training/rules/ternary.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, parts: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> means: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;

@compute @workgroup_size(64)
fn ternary(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min((span + 1u) * SPAN, params.n * params.parts);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let g = means[i / params.n];
    weight[i] = g * clamp(round(weight[i] / (g + 1e-8)), -1.0, 1.0);
  }
}
