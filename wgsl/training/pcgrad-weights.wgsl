// What each of M gradients counts in their mean once conflicts are projected away (PCGrad), from their products.
//
// Every gradient starts as itself. It meets the others one after the other, in an order of its own, and where its
// product with one of them is negative, that one's direction is taken out of it. All that is a matter of products, so
// that row i of `shares` says what the i-th projected gradient has of each.
//
//   gram    (M, M)  f32  products of the gradients
//   order   (M, M)  i32  row i: in which order gradient i meets the others; itself is passed over
//   shares  (M, M)  f32  out
//   weights (M)     f32  out: column means of `shares`
//
// One invocation does it all: M is small. Source: arXiv:2001.06782, Algorithm 1. Checked against f64 in
// test/run/training/rules/group-gradients.test.ts.

struct Params { m: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gram: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<i32>;
@group(0) @binding(3) var<storage, read_write> shares: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(1)
fn pcgrad_weights() {
  let m = params.m;
  for (var j = 0u; j < m; j++) { weights[j] = 0.0; }
  for (var i = 0u; i < m; i++) {
    for (var j = 0u; j < m; j++) { shares[i * m + j] = select(0.0, 1.0, i == j); }
    for (var k = 0u; k < m; k++) {
      let j = u32(order[i * m + k]);
      if (j == i) { continue; }
      var product = 0.0;
      for (var l = 0u; l < m; l++) { product += shares[i * m + l] * gram[l * m + j]; }
      let square = gram[j * m + j];
      if (product < 0.0 && square > 0.0) { shares[i * m + j] -= product / square; }
    }
    for (var j = 0u; j < m; j++) { weights[j] += shares[i * m + j] / f32(m); }
  }
}
