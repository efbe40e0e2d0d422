// One step of Adam on a tensor of n values, in place.
//
//   g (n) f32  gradient
//   x (n) f32  in and out
//   m (n) f32  in and out: mean of gradients; v (n): of their squares
//
// step_size = lr / (1 - beta1^t), correction = 1 / (1 - beta2^t). Source: Adam, arXiv:1412.6980, with eps outside the
// root. Checked in test/merge/methods/task-vectors/doge.test.ts and wudi.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, step_size: f32, correction: f32, beta1: f32, beta2: f32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(64)
fn adam(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN * 4u;
  let last = min(first + SPAN * 4u, params.n);
  for (var i = first + lane; i < last; i += LANES) {
    let mean = mix(g[i], m[i], params.beta1);
    let square = mix(g[i] * g[i], v[i], params.beta2);
    m[i] = mean;
    v[i] = square;
    x[i] -= params.step_size * mean / (sqrt(square * params.correction) + params.eps);
  }
}
