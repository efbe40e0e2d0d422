// One step of SGD with momentum, in place, as PyTorch has it: the decay is part of the gradient, dampening 0.
//
//   gradient (N)  f32
//   clip     (3)  f32  norm and factor of all gradients; factor 0: leave everything as it is
//   weight   (N)  f32 or bf16  in and out
//   velocity (N)  f32 or bf16  in and out; not read in the first step (`first` is 1)
//
// Checked against f64 in test/run/training/updater.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, State, weight_values, stored_weight, state_values, stored_state};

struct Params {
  n4: u32, // vectors of 4 values
  lr: f32,
  decay: f32,
  momentum: f32,
  nesterov: u32,
  first: u32,
  key: u32,
  seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<Weight>;
@group(0) @binding(4) var<storage, read_write> velocity: array<State>;

@compute @workgroup_size(64)
fn sgd(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let factor = clip[1];
  if (factor == 0.0) { return; }
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) {
    let w = weight_values(weight[i]);
    let g = gradient[i] * factor + params.decay * w;
    var b = g;
    if (params.first == 0u) { b = params.momentum * state_values(velocity[i]) + g; }
    velocity[i] = stored_state(b);
    var step = b;
    if (params.nesterov == 1u) { step = g + params.momentum * b; }
    weight[i] = stored_weight(w - params.lr * step, i, vec2u(params.key, params.seed));
  }
}
