// An orthonormal basis of the rows of a matrix, row by row: what is left of a row beside those before it, twice over
// (Gram and Schmidt in its classical form, which two passes make stable). A row that is within the others but for
// rounding gives zeros.
//
//   x (R, N)  f32
//   y (R, N)  f32  out
//
// One workgroup. Checked against f64 in test/tensor/ops/orthonormal-rows.test.ts.

const MOST = 1024u;
const LANES = 64u;

struct Params { rows: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> products: array<f32, MOST>;
var<workgroup> partial: array<f32, LANES>;

// The sum of squares of a row of y, for all lanes. Every lane has written its own values of the row.
fn square_sum(start: u32, lane: u32) -> f32 {
  var own = 0.0;
  for (var i = lane; i < params.width; i += LANES) { own += y[start + i] * y[start + i]; }
  partial[lane] = own;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += partial[i]; }
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(64)
fn orthonormal_rows(@builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  for (var row = 0u; row < params.rows; row++) {
    let start = row * width;
    for (var i = lane; i < width; i += LANES) { y[start + i] = x[start + i]; }
    let before = square_sum(start, lane);
    for (var round = 0u; round < 2u; round++) {
      storageBarrier();
      for (var other = lane; other < row; other += LANES) {
        var sum = 0.0;
        for (var i = 0u; i < width; i++) { sum += y[other * width + i] * y[start + i]; }
        products[other] = sum;
      }
      workgroupBarrier();
      for (var i = lane; i < width; i += LANES) {
        var value = y[start + i];
        for (var other = 0u; other < row; other++) { value -= products[other] * y[other * width + i]; }
        y[start + i] = value;
      }
      workgroupBarrier();
    }
    let after = square_sum(start, lane);
    let factor = select(0.0, inverseSqrt(after), after > 1e-10 * before && after > 0.0);
    for (var i = lane; i < width; i += LANES) { y[start + i] *= factor; }
    storageBarrier();
  }
}
