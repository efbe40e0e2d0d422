// Gradient of attention sinks: minus the sum over all queries of the share that the sink takes, times delta.
//
//   sinks (H)        f32  one more score of every query of a head, without a value
//   lse   (B, H, T)  f32  of wgsl/attention/forward.wgsl, the sink among the exponentials
//   delta (B, H, T)  f32  inner products of outputs and their gradients
//   d     (H)        f32  out, or in and out: added with `accumulate` 1
//
// One workgroup a head. Checked against finite differences in test/tensor/ops/attention.test.ts.

import package::lib::exact::exact_exp;

struct Params { batch: u32, heads: u32, t: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sinks: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> d: array<f32>;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn sink_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  var sum = 0.0;
  for (var i = lane; i < params.batch * params.t; i += 64u) {
    let at = (i / params.t * params.heads + head) * params.t + i % params.t;
    // A query of padding sees nothing: its output and delta are 0, and its log sum says nothing.
    if (delta[at] != 0.0) { sum -= exact_exp(sinks[head] - lse[at]) * delta[at]; }
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u) { d[head] = select(sums[0], d[head] + sums[0], params.accumulate == 1u); }
}
