// How many slots of every block of 256 each expert has: first pass of the counting sort of slots by expert.
//
//   experts (S)          u32  the expert of every slot
//   counts  (blocks, E)  u32  out
//
// One lane for each block and expert, which walks the block: no atomics. Checked in test/tensor/ops/moe.test.ts.

import package::lib::grid::span_of;

struct Params { s: u32, e: u32, blocks: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> experts: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn count(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = span_of(group, groups) * 64u + lane;
  if (i >= params.blocks * params.e) { return; }
  let first = i / params.e * 256u;
  let expert = i % params.e;
  var found = 0u;
  for (var slot = first; slot < min(first + 256u, params.s); slot++) {
    if (experts[slot] == expert) { found++; }
  }
  counts[i] = found;
}
