// The way back through gated recurrent units, from the last token to the first.
//
//   dh        (B * T, H)    f32
//   h         (B * T, H)    f32  of wgsl/gru/scan.wgsl
//   gates     (B * T, 4 H)  f32  likewise
//   weight    (3 H, H)      f32
//   positions (B * T)       i32  from 0 in each document
//   dx        (B * T, 3 H)  f32  out: of the products with the input
//   dp        (B * T, 3 H)  f32  out: of the products with the state
//   states    (B * T, H)    f32  out: the state that each token found
//
// A workgroup takes a row, its lanes the units in turn. Checked against finite differences in
// test/tensor/ops/gru.test.ts.

struct Params { t: u32, units: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dh: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> gates: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(7) var<storage, read_write> dp: array<f32>;
@group(0) @binding(8) var<storage, read_write> states: array<f32>;

const MOST = 1024u;
var<workgroup> carried: array<f32, MOST>;
var<workgroup> products: array<f32, 3072>;

@compute @workgroup_size(64)
fn scan_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let units = params.units;
  for (var i = lane; i < units; i += 64u) { carried[i] = 0.0; }
  for (var left = params.t; left > 0u; left--) {
    let step = left - 1u;
    let row = group.x * params.t + step;
    let first = positions[row] == 0;
    for (var i = lane; i < units; i += 64u) {
      let place = row * 4u * units + i;
      let r = gates[place];
      let z = gates[place + units];
      let n = gates[place + 2u * units];
      let inner = gates[place + 3u * units];
      var state = 0.0;
      if (step > 0u && !first) { state = h[(row - 1u) * units + i]; }
      let d = dh[row * units + i] + carried[i];
      let dn = d * (1.0 - z) * (1.0 - n * n);
      let dz = d * (state - n) * z * (1.0 - z);
      let dr = dn * inner * r * (1.0 - r);
      let at = row * 3u * units + i;
      dx[at] = dr;
      dx[at + units] = dz;
      dx[at + 2u * units] = dn;
      dp[at] = dr;
      dp[at + units] = dz;
      dp[at + 2u * units] = dn * r;
      products[i] = dr;
      products[units + i] = dz;
      products[2u * units + i] = dn * r;
      states[row * units + i] = state;
      carried[i] = d * z;
    }
    workgroupBarrier();
    for (var i = lane; i < units; i += 64u) {
      var sum = carried[i];
      for (var j = 0u; j < 3u * units; j++) { sum = fma(weight[j * units + i], products[j], sum); }
      carried[i] = select(sum, 0.0, first);
    }
    workgroupBarrier();
  }
}
