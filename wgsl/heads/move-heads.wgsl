// Columns of every head, moved from one layout of heads to another.
//
//   x (N, in_heads, in_width)    f32
//   y (N, out_heads, out_width)  f32  out, or in and out: added with `accumulate` 1
//
// Of each head of y the columns from `to` on become those from `from` on of the same head of x; the others become 0, or
// with `accumulate` stay. One head of x goes to all heads of y; one head of y gets the sum over all of x.
// Checked against f64 in test/tensor/ops/heads.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params {
  count: u32, // N * out_heads * out_width
  out_heads: u32,
  out_width: u32,
  to: u32,
  in_heads: u32,
  in_width: u32,
  from_column: u32,
  columns: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn move_heads(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let column = i % params.out_width;
    let head = i / params.out_width % params.out_heads;
    let row = i / params.out_width / params.out_heads;
    var value = 0.0;
    if (column >= params.to && column < params.to + params.columns) {
      let at = row * params.in_heads * params.in_width + params.from_column + column - params.to;
      if (params.in_heads == params.out_heads) { value = x[at + head * params.in_width]; }
      else { for (var h = 0u; h < params.in_heads; h++) { value += x[at + h * params.in_width]; } }
    }
    if (params.accumulate == 0u) { y[i] = value; } else { y[i] += value; }
  }
}
