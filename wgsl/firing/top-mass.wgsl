// Which units of a row hold the first share of its mass, the largest first.
//
//   x    (R, C)  f32  not negative
//   y    (R, C)  f32  out: 1 where the values of a row that come before x, with its own, are at most `mass` of their
//                     sum, else 0; of equal values the first comes first. The largest is always kept
//
// With a mass of 1 values are kept that are more than 1e-5 of the sum. A lane takes a unit and goes through the row.
// Checked against f64 in test/tensor/ops/top-mass.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};

const LEAST = 1e-5;

struct Params { count: u32, c: u32, mass: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn top_mass(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    let first = i / params.c * params.c;
    let own = x[i];
    var before = 0.0;
    var total = 0.0;
    var larger = 0u;
    for (var k = 0u; k < params.c; k++) {
      let value = x[first + k];
      total += value;
      if (value > own || (value == own && first + k < i)) {
        before += value;
        larger++;
      }
    }
    var kept = before + own <= params.mass * total;
    if (params.mass == 1.0) { kept = own > LEAST * total; }
    y[i] = select(0.0, 1.0, kept || larger == 0u);
  }
}
