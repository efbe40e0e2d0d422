// A gradient times the clipping factor of all gradients.
//
//   gradient (N)  f32
//   clip     (3)  f32  norm and factor of all gradients
//   clipped  (N)  f32  out
//
// Checked against f64 in test/run/training/optimizer-rules.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n4: u32 } // vectors of 4 values

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> clipped: array<vec4f>;

@compute @workgroup_size(64)
fn clip_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) { clipped[i] = gradient[i] * clip[1]; }
}
