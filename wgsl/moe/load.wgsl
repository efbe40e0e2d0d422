// How many slots of counted tokens go to every expert, in blocks of tokens that follow one another within a sequence:
// the sum of a token's mark over its slots that are the expert's.
//
//   experts (N, k)       u32  as wgsl/moe/route.wgsl left them
//   marks   (N)          f32  1 where a token counts, 0 for padding
//   counts  (blocks, E)  f32  out
//
// A sequence has `length` tokens and ceil(length / span) blocks. One lane a block and expert, in order of tokens.
// Checked against f64 in test/tensor/ops/balance.test.ts.

import package::lib::grid::span_of;

struct Params { count: u32, e: u32, k: u32, length: u32, per: u32, span: u32 } // count: blocks * E; per: of a sequence

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> experts: array<u32>;
@group(0) @binding(2) var<storage, read> marks: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<f32>;

@compute @workgroup_size(64)
fn load(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let at = span_of(group, groups) * 64u + lane;
  if (at >= params.count) { return; }
  let block = at / params.e;
  let expert = at % params.e;
  let sequence = block / params.per;
  let first = (block % params.per) * params.span;
  let end = min(first + params.span, params.length);
  var sum = 0.0;
  for (var i = first; i < end; i++) {
    let token = sequence * params.length + i;
    for (var slot = 0u; slot < params.k; slot++) {
      if (experts[token * params.k + slot] == expert) { sum += marks[token]; }
    }
  }
  counts[at] = sum;
}
