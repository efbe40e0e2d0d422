// Gradient of wgsl/sparse-teacher/buckets.wgsl: a chosen logit takes its own, all others share that of the last bucket
// by their part in it.
//
//   logits (N, V)    f32
//   ids (N, K)       i32  ascending in every row
//   y (N, K + 1)     f32  as it went forward
//   dy (N, K + 1)    f32
//   dx (N, V)        f32  out, or in and out: added with `accumulate` 1
//
// One lane an element. Checked against finite differences in test/tensor/ops/sparse-teacher.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_exp;

struct Params {
  count: u32, // N V
  v: u32,
  k: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn buckets_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  for (var i = start + lane; i < min(start + SPAN, params.count); i += LANES) {
    let row = i / params.v;
    let id = i32(i % params.v);
    let first = row * params.k;
    var low = 0u;
    var high = params.k;
    while (low < high) {
      let middle = (low + high) / 2u;
      if (ids[first + middle] < id) { low = middle + 1u; } else { high = middle; }
    }
    let out = row * (params.k + 1u);
    var d = 0.0;
    if (low < params.k && ids[first + low] == id) {
      d = dy[out + low];
    } else {
      d = dy[out + params.k] * exact_exp(logits[i] - y[out + params.k]);
    }
    if (params.accumulate == 0u) { dx[i] = d; } else { dx[i] += d; }
  }
}
