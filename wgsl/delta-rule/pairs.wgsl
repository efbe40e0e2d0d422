// Inner products of all pairs of tokens of a chunk, decayed from the earlier to the later one; 0 where the second is
// later or of another document, with `strict` also where they are one.
//
//   x         (B * T, Hx * D)        f32  of the later token; H is a multiple of Hx and of Hy
//   y         (B * T, Hy * D)        f32  of the earlier one
//   decay     (B * T, H)             f32  of wgsl/delta-rule/decays.wgsl
//   beta      (B * T, H)             f32  only with `written`: factor of the earlier token
//   positions (B * T)                i32
//   p         (B, chunks, H, 64, 64) f32  only with `products`: pairs whose gradient the products without decay are
//   m         (B, chunks, H, 64, 64) f32  out, times `sign`
//   products  (B, chunks, H, 64, 64) f32  likewise, out: p times its gradient; added with `accumulate` 1
//
// A workgroup takes a few rows; a lane is a column. Checked in test/tensor/ops/delta-rule.test.ts.

import package::lib::exact::exact_exp;
import package::lib::strip::ROWS;

struct Params { t: u32, chunks: u32, heads: u32, x_heads: u32, y_heads: u32, d: u32, sign: f32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> decay: array<f32>;
@if(written) @group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@if(products) @group(0) @binding(6) var<storage, read> p: array<f32>;
@group(0) @binding(7) var<storage, read_write> m: array<f32>;
@if(products) @group(0) @binding(8) var<storage, read_write> products: array<f32>;

@compute @workgroup_size(64)
fn pairs(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.z;
  let chunk = group.y % params.chunks;
  let row = group.y / params.chunks * params.t;
  let start = chunk * 64u;
  let n = min(64u, params.t - start);
  let top = group.x * ROWS;
  let d = params.d;
  var sums: array<f32, ROWS>;
  for (var a = 0u; a < ROWS; a++) { sums[a] = 0.0; }
  if (lane < n && lane <= top + ROWS - 1u && top < n) {
    let rows = (row + start) * params.x_heads * d + head / (params.heads / params.x_heads) * d;
    var at: array<u32, ROWS>;
    for (var a = 0u; a < ROWS; a++) { at[a] = rows + min(top + a, n - 1u) * params.x_heads * d; }
    let own = (row + start + lane) * params.y_heads * d + head / (params.heads / params.y_heads) * d;
    for (var i = 0u; i < d; i++) {
      let value = y[own + i];
      for (var a = 0u; a < ROWS; a++) { sums[a] = fma(x[at[a] + i], value, sums[a]); }
    }
  }
  var factor = params.sign;
  @if(written) if (lane < n) { factor *= beta[(row + start + lane) * params.heads + head]; }
  let into = (group.y * params.heads + head) * 4096u + lane;
  for (var a = 0u; a < ROWS; a++) {
    let i = top + a;
    var value = 0.0;
    @if(strict) let seen = lane < i && i < n;
    @if(!strict) let seen = lane <= i && i < n;
    if (seen && i32(lane) >= i32(i) - positions[row + start + i]) {
      let later = decay[(row + start + i) * params.heads + head];
      value = factor * exact_exp(later - decay[(row + start + lane) * params.heads + head]) * sums[a];
    }
    m[into + i * 64u] = value;
    @if(products) {
      let place = into + i * 64u;
      let product = params.sign * sums[a] * p[place];
      products[place] = select(product, products[place] + product, params.accumulate == 1u);
    }
  }
}
