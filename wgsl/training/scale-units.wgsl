// y = f y, or with `step` y = before + f (y - before): the gradient, or the step, of every unit of a matrix at a scale
// of its own. Where f is 1 y stays to the bit; where it is 0 y is 0, or `before` to the bit.
//
//   factor      f32  that of row r = i / columns and column c = i % columns is at r * by_row + c * by_column
//   before (N)       as y; with `step`
//   y      (N)       f32 or bf16  in and out
//
// `start` is the place of the first value in the matrix. Checked in test/run/training/rules/unit-scales.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::stored::{Weight, weight_values, stored_weight};

struct Params { n4: u32, start: u32, columns: u32, by_row: u32, by_column: u32, key: u32, seed: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@if(step) @group(0) @binding(2) var<storage, read> before: array<Weight>;
@group(0) @binding(3) var<storage, read_write> y: array<Weight>;

fn factor_of(i: u32) -> f32 {
  let at = params.start + i;
  return factor[(at / params.columns) * params.by_row + (at % params.columns) * params.by_column];
}

@compute @workgroup_size(64)
fn scale_units(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.n4);
  for (var i = start + lane; i < end; i += LANES) {
    let now = weight_values(y[i]);
    var origin = vec4f(0.0);
    @if(step) origin = weight_values(before[i]);
    let f = vec4f(factor_of(4u * i), factor_of(4u * i + 1u), factor_of(4u * i + 2u), factor_of(4u * i + 3u));
    let scaled = select(select(origin + f * (now - origin), origin, f == vec4f(0.0)), now, f == vec4f(1.0));
    y[i] = stored_weight(scaled, i, vec2u(params.key, params.seed));
  }
}
