// The way back through wgsl/delta-rule/scan.wgsl, from the last chunk to the first: what errors and states take.
//
//   q, k    (B * T, Hk * K)          f32  queries and keys; H is a multiple of Hk
//   lead    (B * T, H)               f32  of wgsl/delta-rule/decays.wgsl
//   written (B * T, H)               f32  likewise
//   a       (B, chunks, H, 64, 64)   f32  strict pairs of keys, of wgsl/delta-rule/pairs.wgsl
//   d_o     (B * T, H * V)           f32  gradient of the outputs
//   d_v     (B * T, H * V)           f32  in: what outputs give to the errors; out: the gradient of the values, d_j =
//                                         in_j + written_j k_j dS - sum over i > j of A_ij d_i
//   slopes  (B, chunks + 1, H, K, V) f32  out: gradients of the states
//
// A lane takes one column through all chunks. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::strip::{Columns, ROWS};

struct Params { t: u32, chunks: u32, heads: u32, key_heads: u32, dk: u32, dv: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> lead: array<f32>;
@group(0) @binding(4) var<storage, read> written: array<f32>;
@group(0) @binding(5) var<storage, read> a: array<f32>;
@group(0) @binding(6) var<storage, read> d_o: array<Columns>;
@group(0) @binding(7) var<storage, read_write> d_v: array<Columns>;
@group(0) @binding(8) var<storage, read_write> slopes: array<Columns>;

@compute @workgroup_size(64)
fn scan_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  let head = group.y;
  let b = group.z;
  let dv = params.dv;
  if (column >= dv) { return; }
  let size = params.dk * dv;
  let key_width = params.key_heads * params.dk;
  let keys = b * params.t * key_width + head / (params.heads / params.key_heads) * params.dk;
  let width = params.heads * dv;
  let values = b * params.t * width + head * dv + column;
  let last = ((b * (params.chunks + 1u) + params.chunks) * params.heads + head) * size + column;
  for (var i = 0u; i < params.dk; i++) { slopes[last + i * dv] = Columns(); }
  for (var back = 0u; back < params.chunks; back++) {
    let chunk = params.chunks - 1u - back;
    let start = chunk * 64u;
    let n = min(64u, params.t - start);
    let matrix = ((b * params.chunks + chunk) * params.heads + head) * 4096u;
    let flags = (b * params.t + start) * params.heads + head;
    let own_keys = keys + start * key_width;
    let own = values + start * width;
    let after = last - back * params.heads * size;
    for (var end = (n + ROWS - 1u) / ROWS; end > 0u; end--) {
      let top = (end - 1u) * ROWS;
      var sums: array<Columns, ROWS>;
      var at: array<u32, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        sums[r] = Columns();
        at[r] = min(top + r, n - 1u);
      }
      for (var i = 0u; i < params.dk; i++) {
        let s = slopes[after + i * dv];
        for (var r = 0u; r < ROWS; r++) { sums[r] += k[own_keys + at[r] * key_width + i] * s; }
      }
      for (var r = 0u; r < ROWS; r++) {
        sums[r] = d_v[own + at[r] * width] + written[flags + at[r] * params.heads] * sums[r];
        if (top + r >= n) { sums[r] = Columns(); }
      }
      for (var i = top + ROWS; i < n; i++) {
        let e = d_v[own + i * width];
        for (var r = 0u; r < ROWS; r++) { sums[r] -= a[matrix + i * 64u + top + r] * e; }
      }
      for (var i = ROWS - 1u; i > 0u; i--) {
        for (var r = 0u; r < i; r++) { sums[r] -= a[matrix + (top + i) * 64u + top + r] * sums[i]; }
      }
      for (var r = 0u; r < ROWS; r++) {
        if (top + r < n) { d_v[own + (top + r) * width] = sums[r]; }
      }
    }
    let stays = lead[flags + (n - 1u) * params.heads];
    let before = after - params.heads * size;
    for (var top = 0u; top < params.dk; top += ROWS) {
      var sums: array<Columns, ROWS>;
      var at: array<u32, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        at[r] = min(top + r, params.dk - 1u);
        sums[r] = stays * slopes[after + at[r] * dv];
      }
      for (var i = 0u; i < n; i++) {
        let seen = lead[flags + i * params.heads];
        let read = seen * d_o[own + i * width];
        let missed = seen * d_v[own + i * width];
        for (var r = 0u; r < ROWS; r++) {
          let place = own_keys + i * key_width + at[r];
          sums[r] += q[place] * read - k[place] * missed;
        }
      }
      for (var r = 0u; r < ROWS; r++) {
        if (top + r < params.dk) { slopes[before + (top + r) * dv] = sums[r]; }
      }
    }
  }
}
