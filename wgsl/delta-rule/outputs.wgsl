// What queries read: o_i = lead_i q_i S + sum over j of P_ij e_j, chunk by chunk. With `gradient` the same sum the
// other way round, without the state: d e_j = sum over i of P_ij d o_i.
//
//   q      (B * T, Hq * K)          f32  queries; H is a multiple of Hq; not with `gradient`
//   lead   (B * T, H)               f32  of wgsl/delta-rule/decays.wgsl; not with `gradient`
//   states (B, chunks + 1, H, K, V) f32  of wgsl/delta-rule/scan.wgsl; not with `gradient`
//   p      (B, chunks, H, 64, 64)   f32  pairs of queries and keys, of wgsl/delta-rule/pairs.wgsl
//   e      (B * T, H * V)           f32  errors, of wgsl/delta-rule/scan.wgsl; with `gradient` the gradient of o
//   o      (B * T, H * V)           f32  out
//
// A lane is a column of values. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::strip::{Columns, ROWS};

struct Params { t: u32, chunks: u32, heads: u32, key_heads: u32, dk: u32, dv: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(!gradient) @group(0) @binding(1) var<storage, read> q: array<f32>;
@if(!gradient) @group(0) @binding(2) var<storage, read> lead: array<f32>;
@if(!gradient) @group(0) @binding(3) var<storage, read> states: array<Columns>;
@group(0) @binding(4) var<storage, read> p: array<f32>;
@group(0) @binding(5) var<storage, read> e: array<Columns>;
@group(0) @binding(6) var<storage, read_write> o: array<Columns>;

@compute @workgroup_size(64)
fn outputs(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  let head = group.z;
  let dv = params.dv;
  if (column >= dv) { return; }
  let b = group.y / params.chunks;
  let chunk = group.y % params.chunks;
  let start = chunk * 64u;
  let n = min(64u, params.t - start);
  let token = b * params.t + start;
  let width = params.heads * dv;
  let values = token * width + head * dv + column;
  let matrix = (group.y * params.heads + head) * 4096u;
  @if(!gradient) let key_width = params.key_heads * params.dk;
  @if(!gradient) let queries = token * key_width + head / (params.heads / params.key_heads) * params.dk;
  @if(!gradient) let size = params.dk * dv;
  @if(!gradient) let state = ((b * (params.chunks + 1u) + chunk) * params.heads + head) * size + column;
  for (var top = 0u; top < n; top += ROWS) {
    var sums: array<Columns, ROWS>;
    for (var r = 0u; r < ROWS; r++) { sums[r] = Columns(); }
    @if(!gradient) {
      var at: array<u32, ROWS>;
      for (var r = 0u; r < ROWS; r++) { at[r] = min(top + r, n - 1u); }
      for (var i = 0u; i < params.dk; i++) {
        let s = states[state + i * dv];
        for (var r = 0u; r < ROWS; r++) { sums[r] += q[queries + at[r] * key_width + i] * s; }
      }
      for (var r = 0u; r < ROWS; r++) {
        let seen = lead[(token + at[r]) * params.heads + head];
        sums[r] = select(seen * sums[r], Columns(), seen == 0.0);
      }
      for (var j = 0u; j < min(top + ROWS, n); j++) {
        let value = e[values + j * width];
        for (var r = 0u; r < ROWS; r++) { sums[r] += p[matrix + (top + r) * 64u + j] * value; }
      }
    }
    @if(gradient) {
      for (var i = top; i < n; i++) {
        let value = e[values + i * width];
        for (var r = 0u; r < ROWS; r++) { sums[r] += p[matrix + i * 64u + top + r] * value; }
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      if (top + r < n) { o[values + (top + r) * width] = sums[r]; }
    }
  }
}
