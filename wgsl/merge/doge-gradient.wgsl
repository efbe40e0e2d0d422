// Gradient of the DOGE objective L = sum_j sum_o (sum_i tau_j (tau_j - sum_k lambda_k tau_k - total Delta))_oi^2 by
// Delta:
//   r_jo = sum_i tau_j,oi (tau_j - sum_k lambda_k tau_k - total Delta)_oi,   g_oi = -2 total sum_j r_jo tau_j,oi
//
//   tau     (K, rows, columns) f32
//   lambdas (K)                f32
//   delta   (rows, columns)    f32
//   g       (rows, columns)    f32  out
//
// One workgroup per row, which the objective does not couple. Source: DOGE, arXiv:2501.01230.
// Checked against an f64 loop in test/merge/methods/task-vectors/doge.test.ts.

import package::lib::grid::{LANES, span_of};

struct Params { rows: u32, columns: u32, k: u32, total: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tau: array<f32>;
@group(0) @binding(2) var<storage, read> lambdas: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;

var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(64)
fn doge_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups);
  let inside = row < params.rows;
  let start = min(row, params.rows - 1u) * params.columns;
  let size = params.rows * params.columns;
  for (var j = 0u; j < params.k; j++) {
    var sum = 0.0;
    for (var i = lane; i < params.columns; i += LANES) {
      let at = start + i;
      let own = tau[j * size + at];
      var gap = own - params.total * delta[at];
      for (var k = 0u; k < params.k; k++) { gap -= lambdas[k] * tau[k * size + at]; }
      sum = fma(own, gap, sum);
    }
    sums[lane] = sum;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lane < half) { sums[lane] += sums[lane + half]; }
    }
    workgroupBarrier();
    let factor = -2.0 * params.total * sums[0];
    workgroupBarrier();
    if (inside) {
      for (var i = lane; i < params.columns; i += LANES) {
        let at = start + i;
        let before = select(g[at], 0.0, j == 0u);
        g[at] = fma(factor, tau[j * size + at], before);
      }
    }
  }
}
