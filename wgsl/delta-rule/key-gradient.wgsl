// Gradients of queries and keys of every head, chunk by chunk. As written:
//   of queries, and of keys where they read (`sign` -1): d_i = sum over j of W_ij beta_j k_j + sign lead_i S x_i
// With `writing`, of keys where they are written, times beta there:
//   d_j = sum over i of W_ij q_i + Z_ij k_i, + tail_j dS x_j
//
//   q, k    (B * T, Hk * K)          f32  queries and keys, H is a multiple of Hk; q only with `writing`
//   beta    (B * T, H)               f32  strength of writing
//   share   (B * T, H)               f32  lead of wgsl/delta-rule/decays.wgsl, with `writing` tail
//   w, z    (B, chunks, H, 64, 64)   f32  of wgsl/delta-rule/pairs.wgsl; z only with `writing`
//   states  (B, chunks + 1, H, K, V) f32  before the chunk; with `writing` slopes, after the chunk
//   x       (B * T, H * V)           f32  gradient of outputs or of values; with `writing` the errors
//   d       (B * T, H * K)           f32  out
//
// A lane is a column of keys. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::strip::ROWS;

struct Params { t: u32, chunks: u32, heads: u32, key_heads: u32, dk: u32, dv: u32, sign: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(writing) @group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@if(!writing) @group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> share: array<f32>;
@group(0) @binding(5) var<storage, read> w: array<f32>;
@if(writing) @group(0) @binding(6) var<storage, read> z: array<f32>;
@group(0) @binding(7) var<storage, read> states: array<f32>;
@group(0) @binding(8) var<storage, read> x: array<f32>;
@group(0) @binding(9) var<storage, read_write> d: array<f32>;

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
  let values = (token * params.heads + head) * params.dv;
  let width = params.heads * params.dv;
  let flags = token * params.heads + head;
  let matrix = (group.y * params.heads + head) * 4096u;
  var before = chunk;
  @if(writing) before += 1u;
  let state = (((b * (params.chunks + 1u) + before) * params.heads + head) * dk + column) * params.dv;
  for (var top = 0u; top < n; top += ROWS) {
    var sums: array<f32, ROWS>;
    var at: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      sums[r] = 0.0;
      at[r] = min(top + r, n - 1u);
    }
    for (var i = 0u; i < params.dv; i++) {
      let s = states[state + i];
      for (var r = 0u; r < ROWS; r++) { sums[r] = fma(x[values + at[r] * width + i], s, sums[r]); }
    }
    for (var r = 0u; r < ROWS; r++) { sums[r] *= params.sign * share[flags + at[r] * params.heads]; }
    @if(!writing) for (var j = 0u; j < min(top + ROWS, n); j++) {
      let key = beta[flags + j * params.heads] * k[keys + j * key_width];
      for (var r = 0u; r < ROWS; r++) { sums[r] = fma(w[matrix + (top + r) * 64u + j], key, sums[r]); }
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
      if (top + r < n) { d[((token + top + r) * params.heads + head) * dk + column] = sums[r]; }
    }
  }
}
