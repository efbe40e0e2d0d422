// Pulls experts together: each goes a part `pull` of the way to their mean, which stays and is written beside them.
//
//   weights (E, P)  f32  in and out: the same values of every expert
//   mean    (P)     f32  out
//
// The mean is summed up as distances from the first expert, so that equal experts are their own mean; a pull of 1 makes
// all of them it, bit for bit. Checked in test/train/ewa.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, e: u32, pull: f32 } // count: values of an expert

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;

@compute @workgroup_size(64)
fn pull_together(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let first = weights[i];
    var apart = 0.0;
    for (var e = 1u; e < params.e; e++) { apart += weights[e * params.count + i] - first; }
    let middle = first + apart / f32(params.e);
    for (var e = 0u; e < params.e; e++) {
      let at = e * params.count + i;
      weights[at] = (1.0 - params.pull) * weights[at] + params.pull * middle;
    }
    mean[i] = middle;
  }
}
