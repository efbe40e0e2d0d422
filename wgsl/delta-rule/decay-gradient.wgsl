// Gradients of the log decays and of the strengths of writing. The sum of decays up to a token enters with what the
// token reads, and with the other sign where it is read; a decay enters all sums from its token on.
//
//   q, k     (B * T, Hk * K)  f32  queries and keys; H is a multiple of Hk
//   beta     (B * T, H)       f32  strength of writing
//   d_q, d_k (B * T, H * K)   f32  of wgsl/delta-rule/key-gradient.wgsl: of queries, of keys where they read
//   d_w      (B * T, H * K)   f32  likewise: of keys times beta, where they are written
//   products (B, chunks, H)   f32  of wgsl/delta-rule/ends.wgsl
//   d_g      (B * T, H)       f32  out, or in and out: added with `accumulate_g` 1
//   d_beta   (B * T, H)       f32  out, or in and out: added with `accumulate_beta` 1
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
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> d_q: array<f32>;
@group(0) @binding(5) var<storage, read> d_k: array<f32>;
@group(0) @binding(6) var<storage, read> d_w: array<f32>;
@group(0) @binding(7) var<storage, read> products: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_g: array<f32>;
@group(0) @binding(9) var<storage, read_write> d_beta: array<f32>;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn decay_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let start = group.y % params.chunks * 64u;
  let token = group.y / params.chunks * params.t + start;
  let n = min(64u, params.t - start);
  let place = (token + lane) * params.heads + head;
  var sum = 0.0;
  var strength = 0.0;
  if (lane < n) {
    let key_head = head / (params.heads / params.key_heads);
    let keys = ((token + lane) * params.key_heads + key_head) * params.dk;
    let own = place * params.dk;
    for (var i = 0u; i < params.dk; i++) {
      let key = k[keys + i];
      sum += q[keys + i] * d_q[own + i] + key * d_k[own + i];
      strength = fma(key, d_w[own + i], strength);
    }
    sum -= beta[place] * strength;
    if (lane == n - 1u) { sum += products[group.y * params.heads + head]; }
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 63u; i > 0u; i--) { sums[i - 1u] += sums[i]; }
  }
  workgroupBarrier();
  if (lane >= n) { return; }
  d_g[place] = select(sums[lane], d_g[place] + sums[lane], params.accumulate_g == 1u);
  d_beta[place] = select(strength, d_beta[place] + strength, params.accumulate_beta == 1u);
}
