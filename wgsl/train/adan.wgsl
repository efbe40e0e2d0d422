// One step of Adan, in place (arXiv:2208.06677), with proximal weight decay.
//
//   gradient (N)  f32
//   clip     (3)  f32  norm and factor of all gradients; factor 0: leave everything as it is
//   weight   (N)  f32 or bf16  in and out
//   mean, change, square, previous (N)  f32 or bf16  in and out: moments of g, of its change, of the extrapolated
//                                                    gradient
//                 squared, and the gradient of the step before (not read in the first step)
//
// `rate1` is lr / (1 - beta1^t), `rate2` is lr beta2 / (1 - beta2^t), `correction` is 1 / sqrt(1 - beta3^t), `shrink`
// is 1 / (1 + lr * weight_decay). Checked against f64 in test/run/training/updater.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, State, weight_values, stored_weight, state_values, stored_state};

struct Params {
  n4: u32, // vectors of 4 values
  shrink: f32,
  rate1: f32,
  rate2: f32,
  correction: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  beta3: f32,
  rest3: f32,
  eps: f32,
  first: u32,
  key: u32,
  seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<Weight>;
@group(0) @binding(4) var<storage, read_write> mean: array<State>;
@group(0) @binding(5) var<storage, read_write> change: array<State>;
@group(0) @binding(6) var<storage, read_write> square: array<State>;
@group(0) @binding(7) var<storage, read_write> previous: array<State>;

@compute @workgroup_size(64)
fn adan(
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
    var d = vec4f();
    if (params.first == 0u) { d = g - state_values(previous[i]); }
    let m = params.beta1 * state_values(mean[i]) + params.rest1 * g;
    let v = params.beta2 * state_values(change[i]) + params.rest2 * d;
    let h = g + params.beta2 * d;
    let n = params.beta3 * state_values(square[i]) + params.rest3 * h * h;
    mean[i] = stored_state(m);
    change[i] = stored_state(v);
    square[i] = stored_state(n);
    previous[i] = stored_state(g);
    let update = (params.rate1 * m + params.rate2 * v) / (sqrt(n) * params.correction + params.eps);
    weight[i] = stored_weight((weight_values(weight[i]) - update) * params.shrink, i, vec2u(params.key, params.seed));
  }
}
