// Partial sums of squares of one tensor of a stack of f32 values.
//
//   stack    (K, pitch) f32
//   partials (spans)    f32  out
//
// The host adds the partials in f64. Padding is zero and adds nothing. Checked in
// test/merge/methods/averages/fisher.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { n4: u32, pitch: u32, slot: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(64)
fn squares(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, params.n4);
  var sum = vec4f(0.0);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let x = stack[params.slot * params.pitch + i];
    sum = fma(x, x, sum);
  }
  sums[lane] = dot(sum, vec4f(1.0));
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  if (lane == 0u && span * SPAN < params.n4) { partials[span] = sums[0]; }
}
