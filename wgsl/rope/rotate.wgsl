// Rotary positions, the half-split form: values i and i + D/2 of every head are a point that turns with the position.
// arXiv:2104.09864
//
//   x         (N, H * D)           f32
//   positions (N)                  i32
//   table     (positions, D/2, 2)  f32  cosine and sine
//   y         (N, H * D)           f32  out, or in and out: added with `accumulate` 1
//
// `turn` is 1, or -1 for the gradient, which turns back. Checked against f64 in test/tensor/ops/rope.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, heads: u32, half: u32, last: u32, turn: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read> table: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn rotate(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count); // pairs
  for (var i = start + lane; i < end; i += LANES) {
    let pair = i % params.half;
    let head = i / params.half; // token * heads + head
    let position = min(u32(max(positions[head / params.heads], 0)), params.last);
    let turn = table[position * params.half + pair] * vec2f(1.0, params.turn);
    let at = head * 2u * params.half + pair;
    let a = x[at];
    let b = x[at + params.half];
    let p = a * turn.x - b * turn.y;
    let q = b * turn.x + a * turn.y;
    if (params.accumulate == 0u) {
      y[at] = p;
      y[at + params.half] = q;
    } else {
      y[at] += p;
      y[at + params.half] += q;
    }
  }
}
