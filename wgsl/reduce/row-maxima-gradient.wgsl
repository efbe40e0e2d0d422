// Gradient of wgsl/reduce/row-maxima.wgsl: each row's goes to the place of its largest value.
//
//   dy (N)       f32
//   place (N)    u32
//   dx (N, C)    f32  out, or in and out: added with `accumulate` 1
//
// One lane an element. Checked against finite differences in test/tensor/ops/distribution.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N C
  c: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn row_maxima_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let row = i / params.c;
    let d = select(0.0, dy[row], i % params.c == place[row]);
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
