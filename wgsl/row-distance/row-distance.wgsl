// Distance of rows of probabilities from others.
//
//   student, teacher (N, C)  f32  q and p
//   loss (N)                 f32  out: kl, sum p (log p - log q); mse, sum (q - p)^2
//
// A q below 1e-37 counts as that. One workgroup a row, or with `serial` one lane. Checked against f64 in
// test/tensor/ops/row-distance.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};

struct Params { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

fn term(q: f32, p: f32) -> f32 {
  @if(mse) return (q - p) * (q - p);
  @if(kl) if (p < 1e-37) { return 0.0; }
  @if(kl) return p * (log(p) - log(max(q, 1e-37)));
}

@compute @workgroup_size(64)
fn row_distance(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let width = select(0u, params.c, used);
  let start = select(0u, row * params.c, used);
  var total = 0.0;
  for (var i = row_first(lane); i < width; i += row_step) { total += term(student[start + i], teacher[start + i]); }
  total = row_sum(total, lane);
  if (row_leads(lane) && used) { loss[row] = total; }
}
