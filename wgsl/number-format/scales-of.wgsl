// Scales of groups from their largest magnitudes, as src/checkpoint/numbers/group-scales.ts has them.
//
//   top    (cells)  f32  largest magnitudes
//   whole  (1)      f32  that of all, where one scale is for all, and for `divided`
//   scales (cells)  f32  out
//
// Flags say the rule: `power`, a power of two; `divided`, e4m3 over a power of two; else the largest level `end` for
// the largest magnitude, in bf16 (`half`), or in 16 digits rounded up where `end` is no power of two (`digits`). Powers
// stay in the normal numbers of f32. Checked against f64 in test/tensor/ops/number-format.test.ts.

import package::lib::bf16::round_bf16;
import package::lib::grid::{LANES, SPAN, span_of};

struct Params { cells: u32, single: u32, end: f32, power: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> top: array<f32>;
@group(0) @binding(2) var<storage, read> whole: array<f32>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;

// The power of two that is not above.
fn below(x: f32) -> f32 {
  return bitcast<f32>(max(bitcast<u32>(x) & 0x7f800000u, 0x00800000u));
}

// Nearest value of e4m3, which is positive and at most 448; what is not zero stays so.
fn e4m3(x: f32) -> f32 {
  let step = max(below(x) * 0.125, 0x1p-9);
  let near = min(round(x / step) * step, 448.0);
  return select(max(near, 0x1p-9), 0.0, x <= 0.0);
}

fn scale_of(most: f32, all: f32) -> f32 {
  @if(power) return max(below(most) / params.power, 0x1p-126);
  @if(divided) let divisor = select(1.0, below(2688.0 / all), all > 0.0);
  @if(divided) return e4m3(most / params.end * divisor) / divisor;
  @if(half) return round_bf16(vec4f(most / params.end)).x;
  @if(digits) return bitcast<f32>((bitcast<u32>(most / params.end) + 0xffu) & 0xffffff00u);
  @if(!power && !divided && !half && !digits) return most / params.end;
}

@compute @workgroup_size(64)
fn scales_of(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN;
  let end = min(start + SPAN, params.cells);
  for (var i = start + lane; i < end; i += LANES) {
    let most = select(top[i], whole[0], params.single == 1u);
    scales[i] = scale_of(most, whole[0]);
  }
}
