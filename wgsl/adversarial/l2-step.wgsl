// One step of projected gradient ascent within a ball: every row of x moves by `rate` along its gradient, and back
// into the ball of radius epsilon about x0 and the range of the data. A row without a gradient stays. Madry et al.
// 2018.
//
//   gradient, x0 (N, C)  f32
//   x            (N, C)  f32  in and out
//
// One workgroup a row, or with `serial` one lane. Checked in test/run/adversarial/adversary.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step};

struct Params { n: u32, c: u32, rate: f32, epsilon: f32, low: f32, high: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> x0: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn l2_step(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = row * params.c;
  // Squares of small gradients vanish in f32: they are taken of the gradient over its largest entry.
  var most = 0.0;
  if (used) {
    for (var i = row_first(lane); i < params.c; i += row_step) { most = max(most, abs(gradient[start + i])); }
  }
  most = row_max(most, lane);
  var squares = 0.0;
  if (used && most > 0.0) {
    for (var i = row_first(lane); i < params.c; i += row_step) {
      let g = gradient[start + i] / most;
      squares += g * g;
    }
  }
  squares = row_sum(squares, lane);
  let pace = select(0.0, params.rate * inverseSqrt(max(squares, 1.0)), most > 0.0);
  var distance = 0.0;
  if (used) {
    for (var i = row_first(lane); i < params.c; i += row_step) {
      let d = x[start + i] + pace * moved(gradient[start + i], most) - x0[start + i];
      distance += d * d;
    }
  }
  distance = sqrt(row_sum(distance, lane));
  let kept = select(1.0, params.epsilon / distance, distance > params.epsilon);
  if (!used) { return; }
  for (var i = row_first(lane); i < params.c; i += row_step) {
    let d = x[start + i] + pace * moved(gradient[start + i], most) - x0[start + i];
    x[start + i] = clamp(x0[start + i] + kept * d, params.low, params.high);
  }
}

fn moved(g: f32, most: f32) -> f32 {
  return select(0.0, g / most, most > 0.0);
}
