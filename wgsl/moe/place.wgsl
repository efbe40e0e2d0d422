// Sorts slots by expert, those of one expert in their order: last pass of the counting sort.
//
//   experts (S)             u32  the expert of every slot
//   begins  (blocks + 1, E) u32  of wgsl/moe/scan.wgsl, blocks of 256 slots
//   slots   (S)             u32  out: the slot at every place of the sorted list
//   places  (S)             u32  out: the place of every slot
//   offsets (E + 1)         u32  out: where each expert's places begin
//
// One lane for each block and expert. Checked in test/tensor/ops/moe.test.ts.

import package::lib::grid::span_of;

struct Params { s: u32, e: u32, blocks: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> experts: array<u32>;
@group(0) @binding(2) var<storage, read> begins: array<u32>;
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;
@group(0) @binding(4) var<storage, read_write> places: array<u32>;
@group(0) @binding(5) var<storage, read_write> offsets: array<u32>;

@compute @workgroup_size(64)
fn place(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = span_of(group, groups) * 64u + lane;
  if (i >= params.blocks * params.e) { return; }
  let block = i / params.e;
  let expert = i % params.e;
  let totals = params.blocks * params.e;
  var offset = 0u;
  for (var before = 0u; before < expert; before++) { offset += begins[totals + before]; }
  if (block == 0u) {
    offsets[expert] = offset;
    if (expert == params.e - 1u) { offsets[params.e] = offset + begins[totals + expert]; }
  }
  var at = offset + begins[i];
  for (var slot = block * 256u; slot < min(block * 256u + 256u, params.s); slot++) {
    if (experts[slot] != expert) { continue; }
    slots[at] = slot;
    places[slot] = at;
    at++;
  }
}
