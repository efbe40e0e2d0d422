// Inner product of the state after each chunk and its gradient: what the chunk's whole decay takes.
//
//   states, slopes (B, chunks + 1, H, K, V) f32  of wgsl/delta-rule/scan.wgsl and scan-gradient.wgsl
//   products       (B, chunks, H)           f32  out
//
// One workgroup a chunk and head. Checked in test/tensor/ops/delta-rule.test.ts.

struct Params { chunks: u32, heads: u32, size: u32 } // size: K * V

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> states: array<f32>;
@group(0) @binding(2) var<storage, read> slopes: array<f32>;
@group(0) @binding(3) var<storage, read_write> products: array<f32>;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn ends(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let b = group.y / params.chunks;
  let chunk = group.y % params.chunks;
  let state = ((b * (params.chunks + 1u) + chunk + 1u) * params.heads + group.x) * params.size;
  var sum = 0.0;
  for (var i = lane; i < params.size; i += 64u) { sum = fma(states[state + i], slopes[state + i], sum); }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u) { products[group.y * params.heads + group.x] = sums[0]; }
}
