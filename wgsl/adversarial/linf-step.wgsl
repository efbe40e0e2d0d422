// One step of projected gradient ascent within a box: x moves by `rate` along the sign of the gradient, and back into
// the box of half-width epsilon about x0 and the range of the data. Madry et al. 2018.
//
//   gradient, x0 (N)  f32
//   x            (N)  f32  in and out
//
// Checked in test/run/adversarial/adversary.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, rate: f32, epsilon: f32, low: f32, high: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> x0: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn linf_step(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  for (var i = start + lane; i < end; i += LANES) {
    let moved = x[i] + params.rate * sign(gradient[i]);
    let near = clamp(moved, x0[i] - params.epsilon, x0[i] + params.epsilon);
    x[i] = clamp(near, params.low, params.high);
  }
}
