// Rows sorted by expert, each with the bias of its expert.
//
//   x       (S, C)   f32
//   bias    (E, C)   f32
//   offsets (E + 1)  u32  where each expert's rows begin
//   y       (S, C)   f32  out
//
// Checked against f64 in test/tensor/ops/expert-layer.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, e: u32 } // count: S * C

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn expert_bias(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let row = i / params.c;
    // The expert is the last one whose rows begin at or before this row.
    var low = 0u;
    var high = params.e - 1u;
    while (low < high) {
      let middle = (low + high + 1u) / 2u;
      if (offsets[middle] <= row) { low = middle; } else { high = middle - 1u; }
    }
    y[i] = x[i] + bias[low * params.c + i % params.c];
  }
}
