// Inputs as an election of signs leaves them: a model's value where its task vector survives the sparsifier and carries
// the elected sign, the base's elsewhere. So x_k - base is the trimmed and elected task vector, without any rounding.
// The sign of the sum of the surviving d_k decides; 0 counts as +.
//
//   stack  (1 + K, pitch) operands   base in slot 0
//   models (K)            Sparsity   weights and scales are not read
//   chosen (1 + K, pitch) results    out, of the operands' type
//
// Steps 1 and 2 of TIES-Merging, arXiv:2306.01708, with equal weights. Checked against an f64 loop in
// test/merge/methods/task-vectors/adamerging.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};
import package::lib::rounding::rounded;
import package::lib::sparsify::{Sparsity, survivors};

struct Params { n4: u32, pitch: u32, start: u32 }

override K: u32 = 1; // models; a constant, so that loops unroll

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> models: array<Sparsity>;
@group(0) @binding(3) var<storage, read_write> chosen: array<Result>;

@compute @workgroup_size(64)
fn elect_inputs(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    let index = vec4u(params.start + 4u * i) + vec4u(0u, 1u, 2u, 3u);
    var sum = vec4f(0.0);
    for (var k = 0u; k < K; k++) {
      let d = rounded(load(stack[(k + 1u) * params.pitch + i]) - base);
      sum = rounded(sum + select(vec4f(0.0), d, survivors(d, index, models[k], 0u)));
    }
    chosen[i] = store(base);
    for (var k = 0u; k < K; k++) {
      let x = load(stack[(k + 1u) * params.pitch + i]);
      let d = rounded(x - base);
      let falls = d < vec4f(0.0);
      let rises = d > vec4f(0.0);
      let agrees = select(falls, rises, sum >= vec4f(0.0));
      let keep = survivors(d, index, models[k], 0u) & agrees;
      chosen[(k + 1u) * params.pitch + i] = store(select(base, x, keep));
    }
  }
}
