// The last part of an optimizer's rule, in place: weight <- shrink weight - rate update.
//
//   clip   (3)  f32  norm and factor of all gradients; factor 0: leave everything as it is
//   update (N)  f32
//   weight (N)  f32 or bf16  in and out
//
// Checked against f64 in test/run/training/optimizer-rules.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, weight_values, stored_weight};

struct Params {
  n4: u32, // vectors of 4 values
  shrink: f32,
  rate: f32,
  key: u32,
  seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> clip: array<f32>;
@group(0) @binding(2) var<storage, read> update: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> weight: array<Weight>;

@compute @workgroup_size(64)
fn apply_update(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  if (clip[1] == 0.0) { return; }
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) {
    let w = weight_values(weight[i]) * params.shrink - params.rate * update[i];
    weight[i] = stored_weight(w, i, vec2u(params.key, params.seed));
  }
}
