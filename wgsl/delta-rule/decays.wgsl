// How much of the state each token of a chunk sees and leaves, from the logarithms of the decays.
//
//   g         (B * T, H)  f32  log decay of each token, at most 0
//   beta      (B * T, H)  f32  strength with which a token is written
//   positions (B * T)     i32  from 0 in each document; below 0: padding at the end of a row, which changes nothing
//   decay     (B * T, H)  f32  out: sum of g from the chunk's first token on
//   lead      (B * T, H)  f32  out: what a token sees of the state before the chunk; of the last one what stays of it
//   tail      (B * T, H)  f32  out: what is left of a token when the chunk ends
//   written   (B * T, H)  f32  out: the same times beta
//
// One invocation a chunk and head, chunks of 64 tokens. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::exact::exact_exp;

struct Params { count: u32, t: u32, chunks: u32, heads: u32 } // count: B * chunks * heads

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> decay: array<f32>;
@group(0) @binding(5) var<storage, read_write> lead: array<f32>;
@group(0) @binding(6) var<storage, read_write> tail: array<f32>;
@group(0) @binding(7) var<storage, read_write> written: array<f32>;

@compute @workgroup_size(64)
fn decays(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let at = (group.x + group.y * groups.x) * 64u + lane;
  if (at >= params.count) { return; }
  let head = at % params.heads;
  let chunk = at / params.heads % params.chunks;
  let row = at / params.heads / params.chunks * params.t;
  let start = chunk * 64u;
  let end = min(start + 64u, params.t);
  var sum = 0.0;
  var first = -1; // where the document of the last token begins
  for (var i = start; i < end; i++) {
    let place = (row + i) * params.heads + head;
    let position = positions[row + i];
    if (position >= 0) {
      sum += g[place];
      first = i32(i) - position;
    }
    decay[place] = sum;
    lead[place] = select(0.0, exact_exp(sum), first < i32(start));
  }
  for (var i = start; i < end; i++) {
    let place = (row + i) * params.heads + head;
    let stays = positions[row + i] >= 0 && i32(i) >= first;
    let left = select(0.0, exact_exp(sum - decay[place]), stays);
    tail[place] = left;
    written[place] = left * beta[place];
  }
}
