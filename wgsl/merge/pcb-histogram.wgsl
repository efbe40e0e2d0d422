// Counts digits of the competition scores of one task vector of a stack: one step of an exact selection.
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   rows   (K)            Row
//   counts (2048)         u32       in and out: how many keys that begin with `prefix` have each digit
//
// Under `pairwise` a value agrees with another by tanh of the product of their shares, otherwise by tanh of its product
// with the sum over models. Source: PCB-Merging, arXiv:2410.02396. Checked against an f64 loop in
// test/merge/methods/task-vectors/pcb.test.ts.

import package::lib::competition::{Row, balanced, intra, signed_share};
import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::radix::{BINS, digit, ordered_key};

struct Params { n: u32, pitch: u32, k: u32, model: u32, mask: u32, prefix: u32, shift: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;

var<workgroup> local: array<atomic<u32>, BINS>;

@compute @workgroup_size(64)
fn pcb_histogram(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, (params.n + 3u) / 4u);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let base = load(stack[i]);
    let own = load(stack[(params.model + 1u) * params.pitch + i]) - base;
    for (var c = 0u; c < 4u; c++) {
      if (4u * i + c >= params.n) { continue; }
      let share = signed_share(own[c], rows[params.model]);
      var agreement = 0.0;
      for (var j = 0u; j < params.k; j++) {
        let other = load(stack[(j + 1u) * params.pitch + i])[c] - base[c];
        @if(pairwise) agreement += balanced(share * signed_share(other, rows[j]));
        @if(!pairwise) agreement += other;
      }
      @if(!pairwise) agreement = balanced(own[c] * agreement);
      let bin = digit(ordered_key(intra(share, params.k) * agreement), params.mask, params.prefix, params.shift);
      if (bin < BINS) { atomicAdd(&local[bin], 1u); }
    }
  }
  workgroupBarrier();
  for (var bin = lane; bin < BINS; bin += LANES) {
    let found = atomicLoad(&local[bin]);
    if (found > 0u) { atomicAdd(&counts[bin], found); }
  }
}
