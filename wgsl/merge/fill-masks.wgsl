// Sets every word of one mask to a value: none (0) or all (0xffffffff) of its bits.
//
//   masks (K, mask_pitch / 4) vec4u  in and out; vectors [first, first + n4) are written
//
// Checked in test/merge/methods/task-vectors/della.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n4: u32, first: u32, value: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> masks: array<vec4u>;

@compute @workgroup_size(64)
fn fill_masks(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) { masks[params.first + i] = vec4u(params.value); }
}
