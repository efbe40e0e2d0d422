// Counts digits of the magnitudes of one task vector of a stack: one step of an exact selection.
//
//   stack  (1 + K, pitch) operands  base in slot 0
//   counts (2048)         u32       in and out: how many keys that begin with `prefix` have each digit
//
// Counts are whole numbers: their sums do not depend on the order of the workgroups.
// Checked against a sort in test/merge/selection/order-statistics.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};
import package::lib::radix::{BINS, digit, ordered_key};

struct Params { n: u32, pitch: u32, slot: u32, mask: u32, prefix: u32, shift: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;

var<workgroup> local: array<atomic<u32>, BINS>;

@compute @workgroup_size(64)
fn histogram(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let last = min(span * SPAN + SPAN, (params.n + 3u) / 4u);
  for (var i = span * SPAN + lane; i < last; i += LANES) {
    let d = abs(load(stack[params.slot * params.pitch + i]) - load(stack[i]));
    for (var c = 0u; c < 4u; c++) {
      if (4u * i + c >= params.n) { continue; }
      let bin = digit(ordered_key(d[c]), params.mask, params.prefix, params.shift);
      if (bin < BINS) { atomicAdd(&local[bin], 1u); }
    }
  }
  workgroupBarrier();
  for (var bin = lane; bin < BINS; bin += LANES) {
    let found = atomicLoad(&local[bin]);
    if (found > 0u) { atomicAdd(&counts[bin], found); }
  }
}
