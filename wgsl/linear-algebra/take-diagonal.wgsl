// The diagonal of a square matrix.
//
//   matrix   (N, N)  f32
//   diagonal (N)     f32  out
//
// Checked in test/tensor/linear-algebra/inverse-factor.test.ts.

struct Params { n: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> matrix: array<f32>;
@group(0) @binding(2) var<storage, read_write> diagonal: array<f32>;

@compute @workgroup_size(64)
fn take_diagonal(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.n) { diagonal[id.x] = matrix[id.x * (params.n + 1u)]; }
}
