// y = a x + b y, over the values of a weight or a gradient. With `by_norm` a is divided by a global norm that lies on
// the device.
//
//   x (N)     f32
//   norm (3)  f32  as wgsl/training/clip-factor.wgsl leaves it; with `by_norm`
//   y (N)     f32  in and out
//
// Checked in test/run/training/perturbation.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, a: f32, b: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@if(by_norm) @group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn add_scaled(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  var a = params.a;
  @if(by_norm) a /= max(norm[0], 1e-30);
  for (var i = start + lane; i < end; i += LANES) { y[i] = a * x[i] + params.b * y[i]; }
}
