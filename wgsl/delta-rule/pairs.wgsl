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
// A workgroup takes a few rows; a lane takes a quarter of them and four columns. Checked in
// test/tensor/ops/delta-rule.test.ts.

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
  let top = (group.x * 4u + lane / 16u) * ROWS;
  let left = lane % 16u * 4u;
  let d = params.d;
  var sums: array<vec4f, ROWS>;
  for (var a = 0u; a < ROWS; a++) { sums[a] = vec4f(); }
  if (left < n && left < top + ROWS && top < n) {
    let rows = (row + start) * params.x_heads * d + head / (params.heads / params.x_heads) * d;
    var at: array<u32, ROWS>;
    for (var a = 0u; a < ROWS; a++) { at[a] = rows + min(top + a, n - 1u) * params.x_heads * d; }
    let step = params.y_heads * d;
    let others = (row + start) * step + head / (params.heads / params.y_heads) * d;
    let own = others + min(vec4u(left) + vec4u(0u, 1u, 2u, 3u), vec4u(n - 1u)) * step;
    for (var i = 0u; i < d; i++) {
      let value = vec4f(y[own.x + i], y[own.y + i], y[own.z + i], y[own.w + i]);
      for (var a = 0u; a < ROWS; a++) { sums[a] += x[at[a] + i] * value; }
    }
  }
  let flags = (row + start) * params.heads + head;
  let into = (group.y * params.heads + head) * 4096u + left;
  for (var q = 0u; q < 4u; q++) {
    let j = left + q;
    let earlier = flags + min(j, n - 1u) * params.heads;
    var factor = params.sign;
    @if(written) factor *= beta[earlier];
    for (var a = 0u; a < ROWS; a++) {
      let i = top + a;
      var value = 0.0;
      @if(strict) let seen = j < i && i < n;
      @if(!strict) let seen = j <= i && i < n;
      if (seen && i32(j) >= i32(i) - positions[row + start + i]) {
        value = factor * exact_exp(decay[flags + i * params.heads] - decay[earlier]) * sums[a][q];
      }
      let place = into + i * 64u + q;
      m[place] = value;
      @if(products) {
        let product = params.sign * sums[a][q] * p[place];
        products[place] = select(product, products[place] + product, params.accumulate == 1u);
      }
    }
  }
}
