// One AdamW step of one tensor, in place (arXiv:1711.05101; operations in PyTorch's order).
//
//   gradient (N)          f32
//   clip     (2)          f32  norm and factor of all gradients; factor 0: leave everything as it is
//   weight   (N)          f32 or bf16  in and out
//   mean     (N)          f32 or bf16  in and out, first moment
//   square   (N)          f32 or bf16  in and out, second moment
//
// `shrink` is 1 - lr * weight_decay, `rate` is lr / (1 - beta1^t), `correction` is 1 / sqrt(1 - beta2^t).
// Checked against f64 in test/run/training/updater.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, State, weight_values, stored_weight, state_values, stored_state};

struct Params {
  n4: u32, // vectors of 4 values
  shrink: f32,
  rate: f32,
  correction: f32,
  beta1: f32,
  rest1: f32, // 1 - beta1, rounded from f64: in f32 the difference is off by 1e-6 of itself
  beta2: f32,
  rest2: f32,
  eps: f32,
  key: u32,
  seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<Weight>;
@group(0) @binding(4) var<storage, read_write> mean: array<State>;
@group(0) @binding(5) var<storage, read_write> square: array<State>;

@compute @workgroup_size(64)
fn adamw(
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
    let m = params.beta1 * state_values(mean[i]) + params.rest1 * g;
    let v = params.beta2 * state_values(square[i]) + params.rest2 * g * g;
    mean[i] = stored_state(m);
    square[i] = stored_state(v);
    let w = weight_values(weight[i]) * params.shrink - params.rate * (m / (sqrt(v) * params.correction + params.eps));
    weight[i] = stored_weight(w, i, vec2u(params.key, params.seed));
  }
}
