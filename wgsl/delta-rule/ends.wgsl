// What every decay of a chunk takes of the state that comes through it: inner products of the state before the chunk,
// times what stays of it, and the gradient of the state after.
//
//   states, slopes (B, chunks + 1, H, K, V) f32  of wgsl/delta-rule/scan.wgsl and scan-gradient.wgsl
//   lead           (B * T, H)               f32  of wgsl/delta-rule/decays.wgsl
//   through        (B, chunks, H)           f32  out
//
// One workgroup a chunk and head. Checked in test/tensor/ops/delta-rule.test.ts.

struct Params { t: u32, chunks: u32, heads: u32, size: u32 } // size: K * V

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> states: array<f32>;
@group(0) @binding(2) var<storage, read> slopes: array<f32>;
@group(0) @binding(3) var<storage, read> lead: array<f32>;
@group(0) @binding(4) var<storage, read_write> through: array<f32>;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn ends(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let b = group.y / params.chunks;
  let chunk = group.y % params.chunks;
  let before = ((b * (params.chunks + 1u) + chunk) * params.heads + group.x) * params.size;
  let after = before + params.heads * params.size;
  var sum = 0.0;
  for (var i = lane; i < params.size; i += 64u) { sum = fma(states[before + i], slopes[after + i], sum); }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  let last = b * params.t + min(chunk * 64u + 64u, params.t) - 1u;
  if (lane == 0u) { through[group.y * params.heads + group.x] = lead[last * params.heads + group.x] * sums[0]; }
}
