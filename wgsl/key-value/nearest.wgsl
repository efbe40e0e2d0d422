// Which key of each head is nearest to a row: place[n, c] = argmin_k |u[n, c] - keys[c, k]|^2, the first of equals.
//
//   u (N, C, D)    f32
//   keys (C, K, D) f32
//   place (N, C)   i32  out
//
// One lane a row and head. Source: arXiv:2207.11240. Checked against f64 in test/tensor/ops/key-value.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N C
  heads: u32,
  keys: u32,
  width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> place: array<i32>;

@compute @workgroup_size(64)
fn nearest(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let first = (i % params.heads) * params.keys;
    var found = 0u;
    var least = 3.4e38;
    for (var k = 0u; k < params.keys; k++) {
      var far = 0.0;
      for (var j = 0u; j < params.width; j++) {
        let d = u[i * params.width + j] - keys[(first + k) * params.width + j];
        far += d * d;
      }
      if (far < least) {
        least = far;
        found = k;
      }
    }
    place[i] = i32(found);
  }
}
