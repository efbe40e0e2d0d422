// Base plus the task vectors, clipped and weighted by their competition scores:
//   S_k = max(score_k - cut_k, 0) spread_k;  result = base + sum_k lambda_k clipped_k S_k / sum_k S_k
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   rows   (K)            Row
//   result (n4)           results   out
//
// Where no score is above its cut the base keeps its bits. Scores as in merge/pcb-histogram.
// Source: PCB-Merging, arXiv:2410.02396. Checked against an f64 loop in test/merge/methods/task-vectors/pcb.test.ts.

import package::lib::competition::{Row, balanced, clipped, intra, signed_share};
import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n4: u32, pitch: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn pcb(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    var merged = base;
    for (var c = 0u; c < 4u; c++) {
      var moved = 0.0;
      var total = 0.0;
      for (var k = 0u; k < params.k; k++) {
        let row = rows[k];
        let own = load(stack[(k + 1u) * params.pitch + i])[c] - base[c];
        let share = signed_share(own, row);
        var agreement = 0.0;
        for (var j = 0u; j < params.k; j++) {
          let other = load(stack[(j + 1u) * params.pitch + i])[c] - base[c];
          @if(pairwise) agreement += balanced(share * signed_share(other, rows[j]));
          @if(!pairwise) agreement += other;
        }
        @if(!pairwise) agreement = balanced(own * agreement);
        let score = max(intra(share, params.k) * agreement - row.cut, 0.0) * row.spread;
        moved += row.lambda * sign(own) * clipped(own, row) * score;
        total += score;
      }
      if (total > 0.0) { merged[c] = base[c] + moved / max(total, 1e-12); }
    }
    result[i] = store(merged);
  }
}
