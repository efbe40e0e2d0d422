// The state that each token of a row finds: that after the token before it.
//
//   s         (B * T, H)   f32
//   positions (B * T)      i32  from 0 in each document
//   states    (B * T, H)   f32  out: zeros where a row or a document begins, and of padding
//
// A lane takes a value. Checked in test/tensor/ops/cfc.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, t: u32, units: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read_write> states: array<f32>;

@compute @workgroup_size(64)
fn found(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.units;
    var value = 0.0;
    if (row % params.t > 0u && positions[row] > 0) { value = s[i - params.units]; }
    states[i] = value;
  }
}
