// Cholesky factor of one block on the diagonal of a symmetric matrix, and the factor's inverse.
//
//   matrix   (N, N)    f32  the block begins at row and column `first` and has `size` <= 64
//   factor   (N, N)    f32  out: L with L L^T = the block, at the block's place, 0 above its diagonal
//   inverses (N, 64)   f32  out: L^-1 in rows from `first` on, `size` values to a row
//   whole    (N, N)    f32  out: L^-1 at the block's place
//   failed   (1)       u32  in and out: 1 where a pivot is not positive; such a pivot counts as 1
//
// One workgroup, a row of L and then a column of its inverse to a lane. Golub and Van Loan, Matrix Computations, 4th
// ed., section 4.2. Checked against f64 in test/tensor/linear-algebra/inverse-factor.test.ts.

const SIDE = 64u;

struct Params { n: u32, first: u32, size: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> matrix: array<f32>;
@group(0) @binding(2) var<storage, read_write> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> inverses: array<f32>;
@group(0) @binding(4) var<storage, read_write> whole: array<f32>;
@group(0) @binding(5) var<storage, read_write> failed: array<u32>;

var<workgroup> tile: array<f32, 4096>;

@compute @workgroup_size(64)
fn factor_block(@builtin(local_invocation_index) lane: u32) {
  let size = params.size;
  let corner = params.first * (params.n + 1u);
  let own = lane * SIDE;
  if (lane < size) {
    for (var j = 0u; j <= lane; j++) { tile[own + j] = matrix[corner + lane * params.n + j]; }
  }
  for (var k = 0u; k < size; k++) {
    workgroupBarrier();
    if (lane >= k && lane < size) {
      var sum = tile[own + k];
      for (var t = 0u; t < k; t++) { sum -= tile[own + t] * tile[k * SIDE + t]; }
      if (lane == k) {
        if (!(sum > 0.0)) {
          failed[0] = 1u;
          sum = 1.0;
        }
        sum = sqrt(sum);
      }
      tile[own + k] = sum;
    }
    workgroupBarrier();
    if (lane > k && lane < size) { tile[own + k] /= tile[k * SIDE + k]; }
  }
  workgroupBarrier();
  if (lane >= size) { return; }
  var column: array<f32, 64>;
  for (var i = 0u; i < size; i++) {
    var sum = select(0.0, 1.0, i == lane);
    for (var t = lane; t < i; t++) { sum -= tile[i * SIDE + t] * column[t]; }
    column[i] = select(0.0, sum / tile[i * SIDE + i], i >= lane);
    inverses[params.first * SIDE + i * size + lane] = column[i];
    whole[corner + i * params.n + lane] = column[i];
    factor[corner + i * params.n + lane] = select(0.0, tile[i * SIDE + lane], i >= lane);
  }
}
