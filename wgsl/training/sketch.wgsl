// Adds a sketch of a gradient (CountSketch): every value goes to one of `width` sums, under a random sign.
//
//   gradient (N)     f32  values from `first` on of a longer vector; `first` is a multiple of `width`
//   sums (R, width)  f32  in and out: sketches, of which the one at `row` is added to
//
// The vector is cut into blocks of `width` values (a power of two, 64 at least). Within a block each value has a sum
// of its own; which one is turned from block to block: value p of block j goes to p xor h(j). So two values of
// different blocks share a sum with probability 1 / width, and inner products of sketches are those of vectors on
// average. One lane owns one sum and walks over the blocks in order.
//
// Checked against f64 in test/run/scoring/gradient-sketches.test.ts.

import package::lib::random::random_bits;

struct Params { n: u32, first: u32, width: u32, row: u32, key_x: u32, key_y: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn sketch(@builtin(global_invocation_id) id: vec3u) {
  let own = id.x;
  if (own >= params.width) { return; }
  let key = vec2u(params.key_x, params.key_y);
  var sum = 0.0;
  for (var block = 0u; block * params.width < params.n; block++) {
    let of_block = block + params.first / params.width;
    let turned = random_bits(vec4u(of_block), key).x & (params.width - 1u);
    let at = block * params.width + (own ^ turned);
    if (at < params.n) {
      let bits = random_bits(vec4u(at + params.first), vec2u(key.y, key.x)).x;
      sum += select(gradient[at], -gradient[at], (bits & 1u) == 1u);
    }
  }
  sums[params.row * params.width + own] += sum;
}
