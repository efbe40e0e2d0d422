// Evenly spaced magnitudes of a chunk, to guess where the k-th largest lies.
//
//   source (slots, pitch)  a stack under `delta`, otherwise plain f32 values in slot 0
//   sample (count)  u32    out, at `offset`: bits of the magnitudes
//
// The vector read for each sample is offset by a hash within its interval, so that rows of a regular length do not
// alias. Checked in test/merge/selection/top-k-selection.test.ts.

import package::lib::magnitudes::ranked;
import package::lib::random::random_bits;
@if(delta) import package::lib::operand::Operand;

struct Params { n: u32, pitch: u32, slot: u32, count: u32, offset: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(delta) @group(0) @binding(1) var<storage, read> source: array<Operand>;
@if(!delta) @group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> sample: array<u32>;

@compute @workgroup_size(64)
fn sample_magnitudes(@builtin(global_invocation_id) id: vec3u) {
  let s = id.x;
  if (s >= params.count) { return; }
  let interval = f32(params.n) / f32(params.count);
  let jitter = f32(random_bits(vec4u(s), vec2u(params.n, 0u)).x >> 8u) / 16777216.0;
  let at = min(u32((f32(s) + jitter) * interval), params.n - 1u);
  var bits = vec4i(0);
  @if(delta) bits = ranked(source[params.slot * params.pitch + at / 4u], source[at / 4u]);
  @if(!delta) bits = ranked(source[params.slot * params.pitch + at / 4u], vec4f(0.0));
  sample[params.offset + s] = u32(bits[at % 4u]);
}
