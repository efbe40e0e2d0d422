// What every token adds to the load-balancing loss E sum of f_i p_i beyond 1: `scale` times the sum over experts of
// their probability for the token times how many slots they have beyond `even`, S / E. f_i is the share of slots, a
// constant; p_i the mean probability. Near balance, the loss itself would leave few digits to its gradient.
//
//   logits  (N, E)   f32
//   lse     (N)      f32  as wgsl/moe/route.wgsl left it
//   offsets (E + 1)  u32
//   y       (N)      f32  out
//
// One lane a token. Checked against f64 in test/tensor/ops/moe.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32, e: u32, even: f32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn balance(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups) * 64u + lane;
  if (row >= params.n) { return; }
  var sum = 0.0;
  for (var i = 0u; i < params.e; i++) {
    let beyond = f32(offsets[i + 1u] - offsets[i]) - params.even;
    sum += beyond * exp(logits[row * params.e + i] - lse[row]);
  }
  y[row] = params.scale * sum;
}
