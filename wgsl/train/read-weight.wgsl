// A weight's values in f32.
//
//   weight (N)  f32 or bf16
//   values (N)  f32  out
//
// Checked in test/run/training/optimizer-rules.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, weight_values};

struct Params { n4: u32 } // vectors of 4 values

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<Weight>;
@group(0) @binding(2) var<storage, read_write> values: array<vec4f>;

@compute @workgroup_size(64)
fn read_weight(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) { values[i] = weight_values(weight[i]); }
}
