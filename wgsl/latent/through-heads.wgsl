// Every head's columns times its block of a matrix whose rows are those of all heads, one block after the other.
//
//   x (N, H * x_width)  f32
//   w (H * block, R)    f32 or, with `bf16`, bf16 in pairs; a head's rows begin at `first` of its block
//   y (N, H * out)      f32  out: sum_j x[j] w[j, i], where R is `out`; with `across` sum_j x[j] w[i, j], where it is
//                            `depth`
//
// One invocation a value, for few rows: while text is written. Checked against f64 in test/tensor/ops/latent.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32,
  heads: u32,
  x_width: u32,  // columns of a head in x, of which the first `depth` are used
  depth: u32,    // terms of a sum
  out: u32,      // columns of a head in y
  block: u32,    // rows of a head in w
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@if(!bf16) @group(0) @binding(2) var<storage, read> w: array<f32>;
@if(bf16) @group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn weight(i: u32) -> f32 {
  @if(!bf16) return w[i];
  @if(bf16) return bitcast<f32>(select(w[i / 2u] << 16u, w[i / 2u] & 0xffff0000u, (i & 1u) == 1u));
}

@compute @workgroup_size(64)
fn through_heads(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var at = start + lane; at < end; at += LANES) {
    let i = at % params.out;
    let head = at / params.out % params.heads;
    let row = at / (params.out * params.heads);
    let own = (row * params.heads + head) * params.x_width;
    let block = head * params.block + params.first;
    var sum = 0.0;
    for (var j = 0u; j < params.depth; j++) {
      @if(!across) let value = weight((block + j) * params.out + i);
      @if(across) let value = weight((block + i) * params.depth + j);
      sum = fma(x[own + j], value, sum);
    }
    y[at] = sum;
  }
}
