// Gradient of RMSNorm and LayerNorm to their input: with g = dy * weight and h the normalised x,
// dx = r (g - h mean(g h) - mean(g)), RMSNorm without the last term; with `plus_one` the gain is 1 + weight.
//
//   dy, x  (N, C)       f32
//   weight (W)          f32
//   saved  (N * C / W)  f32  as wgsl/norm/normalize.wgsl left it
//   dx     (N, C)       f32  out, or in and out: added with `accumulate` 1
//
// One workgroup a group, or with `serial` one lane. Checked against finite differences in test/tensor/ops/norm.test.ts.

import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};

struct Params { n: u32, w: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> saved: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

fn gain(i: u32) -> f32 {
  @if(!plus_one) return weight[i];
  @if(plus_one) return 1.0 + weight[i];
}

@compute @workgroup_size(64)
fn normalize_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = row * params.w;
  var r = 0.0;
  var mean = 0.0;
  if (used) { r = saved[row]; }
  @if(layer) if (used) { mean = saved[params.n + row]; }
  var along = 0.0;
  var level = 0.0;
  if (used) {
    for (var i = row_first(lane); i < params.w; i += row_step) {
      let g = dy[start + i] * gain(i);
      along += g * (x[start + i] - mean) * r;
      level += g;
    }
  }
  along = row_sum(along, lane) / f32(params.w);
  @if(layer) level = row_sum(level, lane) / f32(params.w);
  @if(!layer) level = 0.0;
  if (!used) { return; }
  for (var i = row_first(lane); i < params.w; i += row_step) {
    let d = r * (dy[start + i] * gain(i) - (x[start + i] - mean) * r * along - level);
    if (params.accumulate == 0u) { dx[start + i] = d; } else { dx[start + i] += d; }
  }
}
