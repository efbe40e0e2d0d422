// The global norm of the gradients, and the factor that brings it down to a bound.
//
//   sums (N)  f32  sums of squares
//   clip (3)  f32  in and out: norm; min(1, limit / (norm + 1e-6)) as PyTorch has it, 1 without a limit (0), and 0 when
//                  the norm
//                  is not finite or was not in an earlier step (the third value), which tells the optimizer to leave
//                  everything
//                  as it is: the host hears of it some steps later and finds the weights that led there
//
// One workgroup. Checked against f64 in test/run/training/updater.test.ts.

struct Params { n: u32, limit: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> clip: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn clip_factor(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.n; i += 64u) { sum += sums[i]; }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  if (lane != 0u) { return; }
  let norm = sqrt(partial[0]);
  let finite = (bitcast<u32>(norm) & 0x7f800000u) != 0x7f800000u;
  var factor = 1.0;
  if (params.limit > 0.0) { factor = min(1.0, params.limit / (norm + 1e-6)); }
  if (!finite) { clip[2] = 1.0; }
  clip[0] = norm;
  clip[1] = select(0.0, factor, clip[2] == 0.0);
}
