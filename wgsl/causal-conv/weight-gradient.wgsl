// What the weights of a depthwise causal convolution take from blocks of tokens: sums of d_i x_(i + m - K + 1).
//
//   d         (B * T, C)      f32  gradient of the sums, of wgsl/causal-conv/convolve.wgsl
//   x         (B * T, C)      f32
//   positions (B * T)         i32  from 0 in each document
//   sums      (blocks, C, K)  f32  out
//
// A workgroup takes 64 channels and a block of `rows` tokens, in order. Checked in
// test/tensor/ops/causal-conv.test.ts.

struct Params { n: u32, t: u32, c: u32, k: u32, rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn weight_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let channel = group.x * 64u + lane;
  if (channel >= params.c) { return; }
  let end = min((group.y + 1u) * params.rows, params.n);
  for (var m = 0u; m < params.k; m++) {
    let before = params.k - 1u - m;
    var sum = 0.0;
    for (var row = group.y * params.rows; row < end; row++) {
      if (row % params.t < before || positions[row] < i32(before)) { continue; }
      sum = fma(d[row * params.c + channel], x[(row - before) * params.c + channel], sum);
    }
    sums[(group.y * params.c + channel) * params.k + m] = sum;
  }
}
