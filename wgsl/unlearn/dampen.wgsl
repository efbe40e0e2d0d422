// Selective synaptic dampening (arXiv:2308.07707): weights that matter more than `alpha` times as much to the forget
// set as to all data are multiplied by min(lambda * all / forget, 1).
//
//   forget, all (N)  f32  importances
//   weight (N)       f32  in and out
//   count (1)        u32  in and out: weights that were selected
//
// `all` is share * forget + (1 - share) * what is bound, for importances of the retain set alone. Checked in
// test/unlearn/ssd.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n: u32, alpha: f32, lambda: f32, share: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> forget: array<f32>;
@group(0) @binding(2) var<storage, read> all: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> count: array<atomic<u32>>;

@compute @workgroup_size(64)
fn dampen(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n);
  var selected = 0u;
  for (var i = start + lane; i < end; i += LANES) {
    let own = forget[i];
    let both = params.share * own + (1.0 - params.share) * all[i];
    if (own > params.alpha * both) {
      weight[i] *= min(params.lambda * both / own, 1.0);
      selected++;
    }
  }
  if (selected > 0u) { atomicAdd(&count[0], selected); }
}
