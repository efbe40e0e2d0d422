// Sums a tensor over the dimensions along which another was repeated: the gradient of broadcasting.
//
//   x  f32  (d0, d1, d2, d3)
//   y  f32  out, or in and out: added with `accumulate` 1; dimensions (e0, e1, e2, e3), each as in x or 1
//
// One lane per result, terms in order. Checked against f64 in test/tensor/ops/elementwise.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // results
  d0: u32, d1: u32, d2: u32, d3: u32,
  e0: u32, e1: u32, e2: u32, e3: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn sum_to(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  let repeats = vec4u(params.d0 / params.e0, params.d1 / params.e1, params.d2 / params.e2, params.d3 / params.e3);
  for (var i = start + lane; i < end; i += LANES) {
    let i3 = i % params.e3;
    let i2 = (i / params.e3) % params.e2;
    let i1 = (i / (params.e3 * params.e2)) % params.e1;
    let i0 = i / (params.e3 * params.e2 * params.e1);
    var sum = 0.0;
    for (var r0 = 0u; r0 < repeats.x; r0++) {
      for (var r1 = 0u; r1 < repeats.y; r1++) {
        for (var r2 = 0u; r2 < repeats.z; r2++) {
          for (var r3 = 0u; r3 < repeats.w; r3++) {
            sum += x[(((i0 + r0) * params.d1 + i1 + r1) * params.d2 + i2 + r2) * params.d3 + i3 + r3];
          }
        }
      }
    }
    if (params.accumulate == 0u) { y[i] = sum; } else { y[i] += sum; }
  }
}
