// gradient += a F (weight - anchor): the gradient of a quadratic penalty a / 2 sum F (weight - anchor)^2. Without
// `weighed` F is 1.
//
//   weight     (N)  f32 or bf16
//   anchor     (N)  as the weight
//   importance (N)  f32  F; with `weighed`
//   gradient   (N)  f32  in and out
//
// Checked in test/run/training/rules/quadratic-penalty.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, weight_values};

struct Params { n4: u32, a: f32 } // n4: vectors of 4 values

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<Weight>;
@group(0) @binding(2) var<storage, read> anchor: array<Weight>;
@if(weighed) @group(0) @binding(3) var<storage, read> importance: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> gradient: array<vec4f>;

@compute @workgroup_size(64)
fn pull(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) {
    var change = weight_values(weight[i]) - weight_values(anchor[i]);
    @if(weighed) change *= importance[i];
    gradient[i] += params.a * change;
  }
}
