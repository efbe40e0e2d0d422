// Where a block's slots begin among those of their expert: second pass of the counting sort of slots by expert.
//
//   counts (blocks, E)      u32
//   begins (blocks + 1, E)  u32  out: sums over the blocks before; the last row has the sums over all
//
// One lane an expert. Checked in test/tensor/ops/moe.test.ts.

import package::lib::grid::span_of;

struct Params { e: u32, blocks: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> begins: array<u32>;

@compute @workgroup_size(64)
fn scan(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let expert = span_of(group, groups) * 64u + lane;
  if (expert >= params.e) { return; }
  var sum = 0u;
  for (var block = 0u; block < params.blocks; block++) {
    begins[block * params.e + expert] = sum;
    sum += counts[block * params.e + expert];
  }
  begins[params.blocks * params.e + expert] = sum;
}
