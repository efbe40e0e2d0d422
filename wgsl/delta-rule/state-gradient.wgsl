// What states give to the gradients of queries and keys of every head, chunk by chunk: d_i = sign share_i S x_i.
//
//   share   (B * T, H)               f32  of wgsl/delta-rule/decays.wgsl: lead, with `after` tail
//   states  (B, chunks + 1, H, K, V) f32  those before chunks count, with `after` those after them
//   x       (B * T, H * V)           f32  gradient of outputs or of values; or the errors
//   d       (B * T, H * K)           f32  out
//
// A lane is a column of keys. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::strip::{Columns, ROWS};

struct Params { t: u32, chunks: u32, heads: u32, key_heads: u32, dk: u32, dv: u32, sign: f32, after: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> share: array<f32>;
@group(0) @binding(2) var<storage, read> states: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> d: array<Columns>;

@compute @workgroup_size(64)
fn state_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  let head = group.z;
  let dk = params.dk;
  if (column >= dk) { return; }
  let b = group.y / params.chunks;
  let chunk = group.y % params.chunks;
  let start = chunk * 64u;
  let n = min(64u, params.t - start);
  let token = (b * params.t + start) * params.heads + head;
  let dv = params.dv;
  let state = (((b * (params.chunks + 1u) + chunk + params.after) * params.heads + head) * dk + column) * dv;
  for (var top = 0u; top < n; top += ROWS) {
    var sums: array<Columns, ROWS>;
    var at: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      sums[r] = Columns();
      at[r] = token + min(top + r, n - 1u) * params.heads;
    }
    for (var i = 0u; i < dv; i++) {
      @if(!wide) let s = states[state + i];
      @if(wide) let first = 4u * state + i;
      @if(wide) let s = vec4f(states[first], states[first + dv], states[first + 2u * dv], states[first + 3u * dv]);
      for (var r = 0u; r < ROWS; r++) { sums[r] += x[at[r] * dv + i] * s; }
    }
    for (var r = 0u; r < ROWS; r++) {
      if (top + r < n) { d[at[r] * dk + column] = params.sign * share[at[r]] * sums[r]; }
    }
  }
}
