// Variance over the models of each entry of their task vectors, and how many entries have any.
//   variance = mean_i (d_i - mean_j d_j)^2,  d_i = x_i - base
//
//   stack    (1 + K, pitch) operands  base in slot 0
//   variance (n4)           vec4f     out
//   counts   (spans)        u32       out: entries whose variance is not 0
//
// Running mean and sum of squares (Welford), so that equal task vectors have a variance of exactly 0, as padding has.
// Checked against an f64 loop in test/merge/methods/task-vectors/sce.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::rounding::rounded;

struct Params { n4: u32, pitch: u32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> variance: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;

var<workgroup> sums: array<u32, LANES>;

@compute @workgroup_size(64)
fn sce_variance(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, params.n4);
  var found = vec4u(0u);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var mean = vec4f(0.0);
    var squares = vec4f(0.0);
    for (var k = 0u; k < K; k++) {
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - base);
      let off = d - mean;
      mean += off / f32(k + 1u);
      squares += off * (d - mean);
    }
    // Rounding of the running mean can leave a tiny product of either sign; as a variance it counts by its magnitude.
    let value = rounded(abs(squares) / f32(K));
    variance[i] = value;
    found += select(vec4u(0u), vec4u(1u), value != vec4f(0.0));
  }
  sums[lane] = found.x + found.y + found.z + found.w;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  if (lane == 0u && span * SPAN < params.n4) { counts[span] = sums[0]; }
}
