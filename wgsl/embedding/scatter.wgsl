// Adds rows into a table by id, without atomics: the first token of every id sums its chain, in order.
//
//   ids   (N)     i32
//   links (N)     u32  of wgsl/embedding/links.wgsl
//   dy    (N, C)  f32
//   table (V, C)  f32  in and out; rows of ids from `lowest` on
//
// The row of the id `fixed` stays as it is.
//
// One workgroup a token. Checked against f64 in test/tensor/ops/embedding.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32, c: u32, v: u32, lowest: u32, fixed: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read> links: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> table: array<f32>;

@compute @workgroup_size(64)
fn scatter(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = span_of(group, groups);
  if (i >= params.n) { return; }
  let id = ids[i];
  if ((links[i] & 0x80000000u) == 0u || id < 0 || u32(id) == params.fixed || u32(id) < params.lowest) { return; }
  let row = u32(id) - params.lowest;
  if (row >= params.v) { return; }
  for (var c = lane; c < params.c; c += 64u) {
    var sum = 0.0;
    var token = i;
    loop {
      sum += dy[token * params.c + c];
      let next = links[token] & 0x7fffffffu;
      if (next == 0u) { break; }
      token = next - 1u;
    }
    table[row * params.c + c] += sum;
  }
}
