// Marks all but the `keep` most important of every `of` weights of a row that follow one another.
//
//   weight  (rows, columns)  f32  columns are a multiple of `of`
//   factors (columns)        f32  not negative
//   marks   (rows, columns)  u32  out: 1 for those that go, of equal ones the first
//
// One invocation to `of` weights. Checked against a sort in test/tensor/weight-selection.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::importance::importance;

struct Params { rows: u32, columns: u32, keep: u32, of_inputs: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read_write> marks: array<u32>;

@compute @workgroup_size(64)
fn mark_pattern(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let of_inputs = params.of_inputs;
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.rows * params.columns / of_inputs);
  for (var i = start + lane; i < end; i += LANES) {
    let first = i * of_inputs;
    let column = first % params.columns;
    for (var a = 0u; a < of_inputs; a++) {
      let own = importance(weight[first + a], factors[column + a]);
      var before = 0u;
      for (var b = 0u; b < of_inputs; b++) {
        let other = importance(weight[first + b], factors[column + b]);
        before += select(0u, 1u, other < own || (other == own && b < a));
      }
      marks[first + a] = select(0u, 1u, before < of_inputs - params.keep);
    }
  }
}
