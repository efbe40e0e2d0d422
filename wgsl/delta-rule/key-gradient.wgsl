// What pairs of a chunk add to gradients of queries and keys of every head. As written:
//   of queries, and of keys where they read: d_i += sum over j of W_ij beta_j k_j
// With `writing`, of beta times keys, where they are written:
//   d_j += sum over i of W_ij q_i + Z_ij k_i
//
//   q, k    (B * T, Hk * K)          f32  queries and keys, H is a multiple of Hk; q only with `writing`
//   beta    (B * T, H)               f32  strength of writing; not with `writing`
//   w, z    (B, chunks, H, 64, 64)   f32  of wgsl/delta-rule/pairs.wgsl; z only with `writing`
//   d       (B * T, H * K)           f32  in and out: what states gave, of wgsl/delta-rule/state-gradient.wgsl
//
// A lane is a column of keys. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::strip::{Columns, ROWS};

struct Params { t: u32, chunks: u32, heads: u32, key_heads: u32, dk: u32, dv: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(writing) @group(0) @binding(1) var<storage, read> q: array<Columns>;
@group(0) @binding(2) var<storage, read> k: array<Columns>;
@if(!writing) @group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read> w: array<f32>;
@if(writing) @group(0) @binding(6) var<storage, read> z: array<f32>;
@group(0) @binding(9) var<storage, read_write> d: array<Columns>;

@compute @workgroup_size(64)
fn key_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  let head = group.z;
  let dk = params.dk;
  if (column >= dk) { return; }
  let b = group.y / params.chunks;
  let chunk = group.y % params.chunks;
  let start = chunk * 64u;
  let n = min(64u, params.t - start);
  let token = b * params.t + start;
  let key_width = params.key_heads * dk;
  let keys = token * key_width + head / (params.heads / params.key_heads) * dk + column;
  @if(!writing) let flags = token * params.heads + head;
  let matrix = (group.y * params.heads + head) * 4096u;
  let own = (token * params.heads + head) * dk + column;
  for (var top = 0u; top < n; top += ROWS) {
    var sums: array<Columns, ROWS>;
    for (var r = 0u; r < ROWS; r++) { sums[r] = Columns(); }
    @if(!writing) for (var j = 0u; j < min(top + ROWS, n); j++) {
      let key = beta[flags + j * params.heads] * k[keys + j * key_width];
      for (var r = 0u; r < ROWS; r++) { sums[r] += w[matrix + (top + r) * 64u + j] * key; }
    }
    @if(writing) for (var i = top; i < n; i++) {
      let query = q[keys + i * key_width];
      let key = k[keys + i * key_width];
      for (var r = 0u; r < ROWS; r++) {
        let place = matrix + i * 64u + top + r;
        sums[r] += w[place] * query + z[place] * key;
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      if (top + r < n) { d[own + (top + r) * params.heads * dk] += sums[r]; }
    }
  }
}
