// Marks the weights that lie at or below the cuts of lowest-cuts.wgsl.
//
//   weight  (selections * rows, pitch)  f32
//   factors (pitch)                     f32
//   cuts    (selections)                vec2u
//   marks   (selections * rows, pitch)  u32    out, in columns [from, from + width): 1 for those that go, else 0
//
// With `some_go` 0 none goes, and cuts are not read. Checked in test/tensor/weight-selection.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::importance::importance;

struct Params { selections: u32, rows: u32, pitch: u32, from_column: u32, width: u32, some_go: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read> cuts: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> marks: array<u32>;

@compute @workgroup_size(64)
fn mark_lowest(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let items = params.rows * params.width;
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.selections * items);
  for (var i = start + lane; i < end; i += LANES) {
    let column = params.from_column + i % params.width;
    let at = i / params.width * params.pitch + column;
    let key = importance(weight[at], factors[column]);
    let cut = cuts[i / items];
    marks[at] = select(0u, 1u, params.some_go != 0u && (key < cut.x || (key == cut.x && i % items <= cut.y)));
  }
}
