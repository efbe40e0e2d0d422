// Chains of equal ids: for every token the next one with the same id, and whether it is the first.
//
//   ids   (N)  i32
//   next  (N)  u32  out: index of the next + 1, 0 at the end; the highest bit is set on the first of a chain
//
// Checked in test/tensor/ops/embedding.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read_write> next: array<u32>;

@compute @workgroup_size(64)
fn links(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = span_of(group, groups) * 64u + lane;
  if (i >= params.n) { return; }
  let id = ids[i];
  var before = i;
  while (before > 0u && ids[before - 1u] != id) { before--; }
  var after = i + 1u;
  while (after < params.n && ids[after] != id) { after++; }
  next[i] = select(0u, after + 1u, after < params.n) | select(0u, 0x80000000u, before == 0u);
}
