// Gradients of the log decays and of the strengths of writing. A decay takes of all that goes past it: from tokens
// before it to tokens from it on, from the state before the chunk to these, from those to the state after, and through.
// Nothing is taken as a difference of sums: behind strong decays it would be lost.
//
//   k        (B * T, Hk * K)        f32  keys; H is a multiple of Hk
//   d_w      (B * T, H * K)         f32  gradient of beta times keys, where they are written
//   products (B, chunks, H, 64, 64) f32  of wgsl/delta-rule/pairs.wgsl
//   reads    (B * T, H)             f32  of wgsl/delta-rule/state-shares.wgsl
//   leaves   (B * T, H)             f32  likewise
//   through  (B, chunks, H)         f32  of wgsl/delta-rule/ends.wgsl
//   d_g      (B * T, H)             f32  out, or in and out: added with `accumulate_g` 1
//   d_beta   (B * T, H)             f32  out, or in and out: added with `accumulate_beta` 1
//
// One workgroup a chunk and head, a lane a token. Checked in test/tensor/ops/delta-rule.test.ts.

struct Params {
  t: u32,
  chunks: u32,
  heads: u32,
  key_heads: u32,
  dk: u32,
  accumulate_g: u32,
  accumulate_beta: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> d_w: array<f32>;
@group(0) @binding(3) var<storage, read> products: array<f32>;
@group(0) @binding(4) var<storage, read> reads: array<f32>;
@group(0) @binding(5) var<storage, read> leaves: array<f32>;
@group(0) @binding(6) var<storage, read> through: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_g: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_beta: array<f32>;

@compute @workgroup_size(64)
fn decay_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let start = group.y % params.chunks * 64u;
  let token = group.y / params.chunks * params.t + start;
  let n = min(64u, params.t - start);
  if (lane >= n) { return; }
  let place = (token + lane) * params.heads + head;
  let keys = ((token + lane) * params.key_heads + head / (params.heads / params.key_heads)) * params.dk;
  var strength = 0.0;
  for (var i = 0u; i < params.dk; i++) { strength = fma(k[keys + i], d_w[place * params.dk + i], strength); }
  var sum = through[group.y * params.heads + head];
  let matrix = (group.y * params.heads + head) * 4096u;
  for (var i = 0u; i < n; i++) {
    let other = (token + i) * params.heads + head;
    if (i < lane) {
      sum += leaves[other];
      continue;
    }
    var passes = reads[other];
    for (var j = 0u; j < lane; j++) { passes += products[matrix + i * 64u + j]; }
    sum += passes;
  }
  d_g[place] = select(sum, d_g[place] + sum, params.accumulate_g == 1u);
  d_beta[place] = select(strength, d_beta[place] + strength, params.accumulate_beta == 1u);
}
