// Which experts every token chose, times the token's weight.
//
//   experts (N, k) u32
//   weights (N)    f32
//   y       (N, E) f32  out: weights[n] where expert e is among those of token n, else 0
//
// Checked in test/tensor/ops/moe.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, e: u32, k: u32 } // count: N * E

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> experts: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn chosen(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.e;
    var value = 0.0;
    for (var slot = row * params.k; slot < (row + 1u) * params.k; slot++) {
      if (experts[slot] == i % params.e) { value = weights[row]; }
    }
    y[i] = value;
  }
}
