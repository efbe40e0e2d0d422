// Inner products of matching rows (or columns) of two tensors of a stack, or of their differences from the base.
//
//   stack (K, pitch) operands  a and b are slots of it; the base, under `delta`, is slot 0
//   dots  (vectors)  f32       out
//
// Value e of vector v lies at v * vector_step + e * value_step. One workgroup per vector.
// Checked against an f64 loop in test/merge/job/along-axis.test.ts.

import package::lib::grid::{LANES, span_of};
import package::lib::operand::{Operand, load};

struct Params { vectors: u32, length: u32, vector_step: u32, value_step: u32, pitch: u32, a: u32, b: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> dots: array<f32>;

var<workgroup> sums: array<f32, LANES>;

fn value(slot: u32, at: u32) -> f32 {
  return load(stack[slot * params.pitch + at / 4u])[at % 4u];
}

@compute @workgroup_size(64)
fn dots_along(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let v = span_of(group, groups);
  let inside = v < params.vectors;
  let start = min(v, params.vectors - 1u) * params.vector_step;
  var sum = 0.0;
  for (var e = lane; e < params.length; e += LANES) {
    let at = start + e * params.value_step;
    var x = value(params.a, at);
    var y = value(params.b, at);
    @if(delta) let origin = value(0u, at);
    @if(delta) x -= origin;
    @if(delta) y -= origin;
    sum = fma(x, y, sum);
  }
  sums[lane] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  if (lane == 0u && inside) { dots[v] = sums[0]; }
}
