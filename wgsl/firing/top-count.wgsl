// Which values of a row are among its k largest.
//
//   x    (R, C)  f32
//   y    (R, C)  f32  out: 1 where fewer than k values of the row are larger, or equal and come first; else 0
//
// A lane takes a value and goes through the row. Checked against f64 in test/tensor/ops/top-mass.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

struct Params { count: u32, c: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn top_count(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let first = i / params.c * params.c;
    let own = x[i];
    var larger = 0u;
    for (var k = 0u; k < params.c; k++) {
      let value = x[first + k];
      if (value > own || (value == own && first + k < i)) { larger++; }
    }
    y[i] = select(0.0, 1.0, larger < params.k);
  }
}
