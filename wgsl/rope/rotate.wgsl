// Rotary positions: pairs of values of every head are points that turn with the position. Values i and i + R/2 of the
// first R are a pair, or with `interleaved` 2 i and 2 i + 1; with `partial` R is less than D and the others stay.
// arXiv:2104.09864
//
//   x         (N, H * D)                f32
//   positions (N)                       i32
//   table     (positions, R/2, 2)       f32  cosine and sine; with `long` a second table follows
//   y         (N, H * D)                f32  out, or in and out: added with `accumulate` 1
//
// `turn` is 1, or -1 for the gradient, which turns back. With `long` the second table is that of documents with more
// than `original` tokens: a token is in one if a token so many places ahead in its row has the position `original`, or
// if its own position is not below it. Checked against f64 in test/tensor/ops/rope.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32,    // pairs, and with `partial` the values that stay
  heads: u32,
  d: u32,        // values of a head
  half: u32,     // pairs of a head
  last: u32,     // last position of the table
  turn: f32,
  t: u32,        // with `long`: tokens of a row
  original: u32, // with `long`
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read> table: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@if(long) fn is_long(token: u32, position: u32) -> bool {
  if (position >= params.original) { return true; }
  let ahead = token % params.t + params.original - position;
  return ahead < params.t && positions[token / params.t * params.t + ahead] == i32(params.original);
}

@compute @workgroup_size(64)
fn rotate(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  @if(!partial) let units = params.half;
  @if(partial) let units = params.d - params.half;
  for (var i = start + lane; i < end; i += LANES) {
    let unit = i % units;
    let head = i / units; // token * heads + head
    @if(partial) if (unit >= params.half) {
      let stays = head * params.d + unit + params.half;
      if (params.accumulate == 0u) { y[stays] = x[stays]; } else { y[stays] += x[stays]; }
      continue;
    }
    let token = head / params.heads;
    let position = min(u32(max(positions[token], 0)), params.last);
    var row = position;
    @if(long) if (is_long(token, position)) { row += params.last + 1u; }
    let turn = table[row * params.half + unit] * vec2f(1.0, params.turn);
    @if(!interleaved) let at = head * params.d + unit;
    @if(!interleaved) let other = at + params.half;
    @if(interleaved) let at = head * params.d + 2u * unit;
    @if(interleaved) let other = at + 1u;
    let a = x[at];
    let b = x[other];
    let p = a * turn.x - b * turn.y;
    let q = b * turn.x + a * turn.y;
    if (params.accumulate == 0u) {
      y[at] = p;
      y[other] = q;
    } else {
      y[at] += p;
      y[other] += q;
    }
  }
}
