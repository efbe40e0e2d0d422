// One step of conjugate gradients for many small systems at once, a row to each: (A_i + mu I) x_i = b_i.
//
//   image     (n, k)  f32  A_i times the direction of row i
//   x         (n, k)  f32  in and out
//   residual  (n, k)  f32  in and out: b_i - (A_i + mu I) x_i; before the first step without the part of mu
//   direction (n, k)  f32  in and out; out alone in the first step
//
// With `first` 1 the residual gets the part of mu, and becomes the direction; `image` is not read. A row whose residual
// is 0 stays. One invocation to a row. Hestenes and Stiefel, 1952. Checked against f64 in
// test/compress/factorizations.test.ts.

struct Params { n: u32, k: u32, mu: f32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> direction: array<f32>;

@compute @workgroup_size(64)
fn conjugate_step(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.n) { return; }
  let start = id.x * params.k;
  let end = start + params.k;
  if (params.first == 1u) {
    for (var i = start; i < end; i++) {
      residual[i] -= params.mu * x[i];
      direction[i] = residual[i];
    }
    return;
  }
  var before = 0.0;
  var curvature = 0.0;
  for (var i = start; i < end; i++) {
    before += residual[i] * residual[i];
    curvature += direction[i] * (image[i] + params.mu * direction[i]);
  }
  if (!(curvature > 0.0)) { return; }
  let along = before / curvature;
  var after = 0.0;
  for (var i = start; i < end; i++) {
    x[i] += along * direction[i];
    let left = residual[i] - along * (image[i] + params.mu * direction[i]);
    residual[i] = left;
    after += left * left;
  }
  let turn = select(after / before, 0.0, before == 0.0);
  for (var i = start; i < end; i++) { direction[i] = residual[i] + turn * direction[i]; }
}
