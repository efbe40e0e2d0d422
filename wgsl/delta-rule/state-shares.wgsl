// What decays take of each token's dealings with the states around its chunk: of what it reads there all decays from
// the chunk's first up to its own, of what it leaves there all after its own.
//
//   q, k     (B * T, Hk * K)  f32  queries and keys; H is a multiple of Hk
//   beta     (B * T, H)       f32  strength of writing
//   d_q, d_k (B * T, H * K)   f32  of wgsl/delta-rule/state-gradient.wgsl: of queries, of keys where they read
//   d_w      (B * T, H * K)   f32  likewise: of beta times keys, where they are written
//   reads    (B * T, H)       f32  out
//   leaves   (B * T, H)       f32  out
//
// Checked in test/tensor/ops/delta-rule.test.ts.

struct Params { count: u32, heads: u32, key_heads: u32, dk: u32 } // count: B * T * H

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> d_q: array<f32>;
@group(0) @binding(5) var<storage, read> d_k: array<f32>;
@group(0) @binding(6) var<storage, read> d_w: array<f32>;
@group(0) @binding(7) var<storage, read_write> reads: array<f32>;
@group(0) @binding(8) var<storage, read_write> leaves: array<f32>;

@compute @workgroup_size(64)
fn state_shares(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let at = (group.x + group.y * groups.x) * 64u + lane;
  if (at >= params.count) { return; }
  let key_head = at % params.heads / (params.heads / params.key_heads);
  let keys = (at / params.heads * params.key_heads + key_head) * params.dk;
  let own = at * params.dk;
  var read = 0.0;
  var left = 0.0;
  for (var i = 0u; i < params.dk; i++) {
    let key = k[keys + i];
    read += q[keys + i] * d_q[own + i] + key * d_k[own + i];
    left = fma(key, d_w[own + i], left);
  }
  reads[at] = read;
  leaves[at] = beta[at] * left;
}
