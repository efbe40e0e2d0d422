// The momentum of running statistics, which falls from batch to batch (AdaB2N): m <- m / (m + keep), and `first` where
// there was none yet.
//
//   momentum (1) f32  in and out; 0: no batch yet
//
// One invocation. Source: arXiv:2310.08855. Checked against f64 in test/tensor/ops/batch-norm.test.ts.

struct Params {
  first: f32, // eta^kappa
  keep: f32,  // (1 - eta)^kappa
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> momentum: array<f32>;

@compute @workgroup_size(1)
fn next_momentum() {
  let m = momentum[0];
  momentum[0] = select(m / (m + params.keep), params.first, m == 0.0);
}
