// Gradient of the biases of wgsl/moe/expert-bias.wgsl: sums over the rows of each expert, 0 for one without rows.
//
//   dy      (S, C)   f32
//   offsets (E + 1)  u32
//   d_bias  (E, C)   f32  out, or in and out: added with `accumulate` 1
//
// Checked against finite differences in test/tensor/ops/expert-layer.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, accumulate: u32 } // count: E * C

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;

@compute @workgroup_size(64)
fn expert_bias_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let expert = i / params.c;
    let column = i % params.c;
    var sum = 0.0;
    for (var row = offsets[expert]; row < offsets[expert + 1u]; row++) { sum += dy[row * params.c + column]; }
    if (params.accumulate == 0u) { d_bias[i] = sum; } else { d_bias[i] += sum; }
  }
}
