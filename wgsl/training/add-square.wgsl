// y += a x^2, or with `magnitude` a |x|: what importances and Fisher information are made of.
//
//   x (N)  f32  a gradient
//   y (N)  f32  in and out
//
// Checked in test/unlearn/ssd.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, a: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn add_square(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  for (var i = start + lane; i < end; i += LANES) {
    @if(magnitude) y[i] += params.a * abs(x[i]);
    @if(!magnitude) y[i] += params.a * x[i] * x[i];
  }
}
