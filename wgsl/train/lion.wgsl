// One Lion step of one tensor, in place (arXiv:2302.06675).
//
//   gradient (N)  f32
//   clip     (3)  f32  norm and factor of all gradients; factor 0: leave everything as it is
//   weight   (N)  f32 or bf16  in and out
//   mean     (N)  f32 or bf16  in and out
//
// `shrink` is 1 - lr * weight_decay. Checked against f64 in test/run/training/updater.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, State, weight_values, stored_weight, state_values, stored_state};

struct Params {
  n4: u32, // vectors of 4 values
  shrink: f32,
  rate: f32,
  beta1: f32,
  rest1: f32, // 1 - beta1, rounded from f64
  beta2: f32,
  rest2: f32,
  key: u32,
  seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<Weight>;
@group(0) @binding(4) var<storage, read_write> mean: array<State>;

@compute @workgroup_size(64)
fn lion(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let factor = clip[1];
  if (factor == 0.0) { return; }
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) {
    let g = gradient[i] * factor;
    let m = state_values(mean[i]);
    let w = weight_values(weight[i]) * params.shrink - params.rate * sign(params.beta1 * m + params.rest1 * g);
    mean[i] = stored_state(params.beta2 * m + params.rest2 * g);
    weight[i] = stored_weight(w, i, vec2u(params.key, params.seed));
  }
}
