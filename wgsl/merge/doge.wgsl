// Base plus the task vectors, each corrected by a shared Delta and masked to its largest values:
//   result = base + sum_k lambda_k [|tau_k| >= cut_k] (tau_k + Delta)
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   rows   (K)            vec2f     lambda and cut
//   delta  (N)            f32       of the whole tensor, under `corrected` only; the chunk's part is from `start` on
//   result (n4)           results   out
//
// Source: DOGE, arXiv:2501.01230. Checked against an f64 loop in test/merge/methods/task-vectors/doge.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n: u32, pitch: u32, k: u32, start: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> rows: array<vec2f>;
@if(corrected) @group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn doge(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, (params.n + 3u) / 4u);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var joint = vec4f(0.0);
    @if(corrected) for (var c = 0u; c < 4u; c++) {
      if (4u * i + c < params.n) { joint[c] = delta[params.start + 4u * i + c]; }
    }
    var sum = vec4f(0.0);
    for (var k = 0u; k < params.k; k++) {
      let tau = load(stack[(k + 1u) * params.pitch + i]) - base;
      let kept = abs(tau) >= vec4f(rows[k].y);
      sum += rows[k].x * select(vec4f(0.0), tau + joint, kept);
    }
    result[i] = store(base + sum);
  }
}
