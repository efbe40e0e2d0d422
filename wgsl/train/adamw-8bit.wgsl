// One AdamW step of one tensor, in place, whose moments are codes of 8 bits with a scale for each block of 256 values.
//
//   gradient   (N)        f32
//   clip       (3)        f32  norm and factor of all gradients; factor 0: leave everything as it is
//   weight     (N)        f32 or bf16  in and out
//   mean       (N / 4)    u32  in and out: first moments, a byte each, the first value in the lowest byte; bit 7 is the
//                              sign, bits 0 to 6 a code (lib/dynamic-code) of the magnitude over the block's scale
//   root       (N / 4)    u32  in and out: roots of second moments, a code of 8 bits each; 0 for 0 alone
//   mean_scale (N / 256)  f32  in and out: the largest magnitude of a block
//   root_scale (N / 256)  f32  in and out
//
// The step is made with the new moments in f32, before they are rounded. Checked against f64 in
// test/run/training/adamw-8bit.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::dynamic_code::{code_value, code_of};
import package::lib::stored::{Weight, weight_values, stored_weight};

struct Params {
  n4: u32, // vectors of 4 values
  n: u32, // values
  shrink: f32,
  rate: f32,
  correction: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  eps: f32,
  key: u32,
  seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<Weight>;
@group(0) @binding(4) var<storage, read_write> mean: array<u32>;
@group(0) @binding(5) var<storage, read_write> root: array<u32>;
@group(0) @binding(6) var<storage, read_write> mean_scale: array<f32>;
@group(0) @binding(7) var<storage, read_write> root_scale: array<f32>;

var<workgroup> largest: array<vec2f, LANES>;
var<workgroup> scales: vec2f;

fn largest_of(x: vec4f) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}

@compute @workgroup_size(64)
fn adamw_8bit(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  if (clip[1] == 0.0) { return; }
  let first = span_of(group, groups) * SPAN;
  // A block is as long as the lanes' vectors.
  for (var start = first; start < min(first + SPAN, params.n4); start += LANES) {
    let i = start + lane;
    let block = start / LANES;
    let isUsed = i < params.n4;
    let before = vec2f(mean_scale[block], root_scale[block]);
    var m = vec4f();
    var r = vec4f();
    var g = vec4f();
    if (isUsed) {
      let codes = mean[i];
      let roots = root[i];
      for (var j = 0u; j < 4u; j++) {
        let byte = (codes >> (8u * j)) & 255u;
        let magnitude = code_value(byte & 127u, 7u) * before.x;
        m[j] = select(magnitude, -magnitude, byte > 127u);
        r[j] = code_value((roots >> (8u * j)) & 255u, 8u) * before.y;
        // What follows the last value is no value.
        g[j] = select(0.0, gradient[i][j] * clip[1], 4u * i + j < params.n);
      }
    }
    m = params.beta1 * m + params.rest1 * g;
    r = sqrt(params.beta2 * r * r + params.rest2 * g * g);
    largest[lane] = vec2f(largest_of(abs(m)), largest_of(r));
    workgroupBarrier();
    if (lane == 0u) {
      var most = vec2f();
      for (var j = 0u; j < LANES; j++) { most = max(most, largest[j]); }
      scales = most;
      mean_scale[block] = most.x;
      root_scale[block] = most.y;
    }
    workgroupBarrier();
    if (isUsed) {
      let inverse = select(vec2f(), 1.0 / scales, scales > vec2f());
      var codes = 0u;
      var roots = 0u;
      for (var j = 0u; j < 4u; j++) {
        let code = code_of(min(abs(m[j]) * inverse.x, 1.0), 7u);
        codes |= (code | select(0u, 128u, m[j] < 0.0 && code > 0u)) << (8u * j);
        // A root above 0 is never rounded to 0, which would divide by eps alone.
        let least = select(0u, 1u, r[j] > 0.0);
        roots |= max(code_of(min(r[j] * inverse.y, 1.0), 8u), least) << (8u * j);
      }
      mean[i] = codes;
      root[i] = roots;
      let w = weight_values(weight[i]) * params.shrink - params.rate * (m / (r * params.correction + params.eps));
      weight[i] = stored_weight(w, i, vec2u(params.key, params.seed));
    }
  }
}
