// What the weight of a convolution in groups takes from blocks of places.
//
//   dy   (B * OH * OW, O)           f32
//   x    (B, H, W, C)               f32
//   sums (blocks, O, C / G, KH, KW) f32  out
//
// A workgroup takes 64 weights and a block of `rows` places, in order. Checked against finite differences in
// test/tensor/ops/convolution.test.ts.

struct Params {
  count: u32, c: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, sh: u32, sw: u32, ph: u32, pw: u32,
  o: u32, groups: u32, places: u32, rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn grouped_weight_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let at = group.x * 64u + lane;
  if (at >= params.count) { return; }
  let share = params.c / params.groups;
  let j = at % params.kw;
  let r = at / params.kw % params.kh;
  let out = at / (params.kw * params.kh * share);
  let channel = out / (params.o / params.groups) * share + at / (params.kw * params.kh) % share;
  let end = min((group.y + 1u) * params.rows, params.places);
  var sum = 0.0;
  for (var place = group.y * params.rows; place < end; place++) {
    let row = place / params.ow % params.oh * params.sh + r;
    let column = place % params.ow * params.sw + j;
    if (row < params.ph || row >= params.h + params.ph || column < params.pw || column >= params.w + params.pw) {
      continue;
    }
    let b = place / (params.ow * params.oh);
    let cell = ((b * params.h + row - params.ph) * params.w + column - params.pw) * params.c + channel;
    sum = fma(dy[place * params.o + out], x[cell], sum);
  }
  sums[group.y * params.count + at] = sum;
}
