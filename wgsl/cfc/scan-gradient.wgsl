// The way back through closed-form continuous-time cells, from the last token to the first.
//
//   ds        (B * T, H)   f32
//   hidden    (B * T, M)   f32  of wgsl/cfc/scan.wgsl, z
//   gates     (B * T, 3 H) f32  likewise
//   weight    (M, H)       f32
//   heads     (3 H, M)     f32
//   positions (B * T)      i32  from 0 in each document
//   dx        (B * T, M)   f32  out: of the products with the input
//   dp        (B * T, 3 H) f32  out: of the heads before their functions
//
// A workgroup takes a row, its lanes the units in turn. Checked against finite differences in
// test/tensor/ops/cfc.test.ts.

struct Params { t: u32, units: u32, inner: u32, step: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ds: array<f32>;
@group(0) @binding(2) var<storage, read> hidden: array<f32>;
@group(0) @binding(3) var<storage, read> gates: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> heads: array<f32>;
@group(0) @binding(6) var<storage, read> positions: array<i32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;
@group(0) @binding(8) var<storage, read_write> dp: array<f32>;

const MOST = 512u;
const WIDEST = 1024u;
var<workgroup> carried: array<f32, MOST>;
var<workgroup> products: array<f32, 1536>;
var<workgroup> slopes: array<f32, WIDEST>;

@compute @workgroup_size(64)
fn scan_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let units = params.units;
  let inner = params.inner;
  for (var i = lane; i < units; i += 64u) { carried[i] = 0.0; }
  for (var left = params.t; left > 0u; left--) {
    let step = left - 1u;
    let row = group.x * params.t + step;
    let first = positions[row] == 0;
    for (var i = lane; i < units; i += 64u) {
      let place = row * 3u * units + i;
      let share = gates[place];
      let g = gates[place + units];
      let h = gates[place + 2u * units];
      let d = ds[row * units + i] + carried[i];
      let df = -params.step * d * (g - h) * share * (1.0 - share);
      let dg = d * share * (1.0 - g * g);
      let dh = d * (1.0 - share) * (1.0 - h * h);
      dp[place] = df;
      dp[place + units] = dg;
      dp[place + 2u * units] = dh;
      products[i] = df;
      products[units + i] = dg;
      products[2u * units + i] = dh;
    }
    workgroupBarrier();
    for (var i = lane; i < inner; i += 64u) {
      var sum = 0.0;
      for (var j = 0u; j < 3u * units; j++) { sum = fma(heads[j * inner + i], products[j], sum); }
      let own = hidden[row * inner + i];
      let slope = sum * (1.0 - own * own);
      dx[row * inner + i] = slope;
      slopes[i] = slope;
    }
    workgroupBarrier();
    for (var i = lane; i < units; i += 64u) {
      var sum = 0.0;
      for (var j = 0u; j < inner; j++) { sum = fma(weight[j * units + i], slopes[j], sum); }
      carried[i] = select(sum, 0.0, first);
    }
    workgroupBarrier();
  }
}
