// Copies values where note-loss.wgsl found their loss to be the best so far.
//
//   best   (2)  f32  the second is 1 where it is
//   values (n)  f32
//   kept   (n)  f32  in and out
//
// Checked in test/compress/armor.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> best: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> kept: array<f32>;

@compute @workgroup_size(64)
fn keep_better(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  if (best[1] == 0.0) { return; }
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  for (var i = start + lane; i < end; i += LANES) { kept[i] = values[i]; }
}
