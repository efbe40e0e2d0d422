// Carries the state of the gated delta rule from chunk to chunk, and finds by how much the state misses every value:
// e_i = v_i - lead_i k_i S - sum over j < i of A_ij e_j.
//
//   k       (B * T, Hk * K)        f32  keys; H is a multiple of Hk
//   v       (B * T, H * V)         f32  values
//   lead    (B * T, H)             f32  of wgsl/delta-rule/decays.wgsl
//   written (B * T, H)             f32  likewise
//   a       (B, chunks, H, 64, 64) f32  strict pairs of keys, of wgsl/delta-rule/pairs.wgsl
//   states  (B, chunks + 1, H, K, V) f32  out: before each chunk and after the last
//   errors  (B * T, H * V)         f32  out: e
//   kept    (B, H, K, V)           f32  in and out, only with `cached`: the state before the first token, then the last
//
// Columns of a state do not meet, so a lane takes one through all chunks. Checked in
// test/tensor/ops/delta-rule.test.ts.

import package::lib::strip::{Columns, ROWS};

struct Params { t: u32, chunks: u32, heads: u32, key_heads: u32, dk: u32, dv: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<Columns>;
@group(0) @binding(3) var<storage, read> lead: array<f32>;
@group(0) @binding(4) var<storage, read> written: array<f32>;
@group(0) @binding(5) var<storage, read> a: array<f32>;
@group(0) @binding(6) var<storage, read_write> states: array<Columns>;
@group(0) @binding(7) var<storage, read_write> errors: array<Columns>;
@if(cached) @group(0) @binding(8) var<storage, read_write> kept: array<Columns>;

@compute @workgroup_size(64)
fn scan(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  let head = group.y;
  let b = group.z;
  let dv = params.dv;
  if (column >= dv) { return; }
  let size = params.dk * dv;
  let key_width = params.key_heads * params.dk;
  let keys = b * params.t * key_width + head / (params.heads / params.key_heads) * params.dk;
  let values = (b * params.t * params.heads + head) * dv + column;
  var state = ((b * (params.chunks + 1u)) * params.heads + head) * size + column;
  @if(cached) let memory = (b * params.heads + head) * size + column;
  for (var i = 0u; i < params.dk; i++) {
    var value = Columns();
    @if(cached) value = kept[memory + i * dv];
    states[state + i * dv] = value;
  }
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let start = chunk * 64u;
    let n = min(64u, params.t - start);
    let matrix = ((b * params.chunks + chunk) * params.heads + head) * 4096u;
    let flags = (b * params.t + start) * params.heads + head;
    let own_keys = keys + start * key_width;
    let own_values = values + start * params.heads * dv;
    for (var top = 0u; top < n; top += ROWS) {
      var sums: array<Columns, ROWS>;
      var at: array<u32, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        sums[r] = Columns();
        at[r] = min(top + r, n - 1u);
      }
      for (var i = 0u; i < params.dk; i++) {
        let s = states[state + i * dv];
        for (var r = 0u; r < ROWS; r++) { sums[r] += k[own_keys + at[r] * key_width + i] * s; }
      }
      for (var r = 0u; r < ROWS; r++) {
        // What is not seen may be anything, not a number too.
        let seen = lead[flags + at[r] * params.heads];
        sums[r] = v[own_values + at[r] * params.heads * dv] - select(seen * sums[r], Columns(), seen == 0.0);
      }
      for (var j = 0u; j < top; j++) {
        let e = errors[own_values + j * params.heads * dv];
        for (var r = 0u; r < ROWS; r++) { sums[r] -= a[matrix + (top + r) * 64u + j] * e; }
      }
      for (var j = 0u; j < ROWS; j++) {
        for (var r = j + 1u; r < ROWS; r++) { sums[r] -= a[matrix + (top + r) * 64u + top + j] * sums[j]; }
      }
      for (var r = 0u; r < ROWS; r++) {
        if (top + r < n) { errors[own_values + (top + r) * params.heads * dv] = sums[r]; }
      }
    }
    let stays = lead[flags + (n - 1u) * params.heads];
    let next = state + params.heads * size;
    for (var top = 0u; top < params.dk; top += ROWS) {
      var sums: array<Columns, ROWS>;
      var at: array<u32, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        at[r] = min(top + r, params.dk - 1u);
        sums[r] = select(stays * states[state + at[r] * dv], Columns(), stays == 0.0);
      }
      for (var j = 0u; j < n; j++) {
        let e = written[flags + j * params.heads] * errors[own_values + j * params.heads * dv];
        for (var r = 0u; r < ROWS; r++) { sums[r] += k[own_keys + j * key_width + at[r]] * e; }
      }
      for (var r = 0u; r < ROWS; r++) {
        if (top + r < params.dk) { states[next + (top + r) * dv] = sums[r]; }
      }
    }
    state = next;
  }
  @if(cached) for (var i = 0u; i < params.dk; i++) { kept[memory + i * dv] = states[state + i * dv]; }
}
