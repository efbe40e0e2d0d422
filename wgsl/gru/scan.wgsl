// Gated recurrent units over tokens in order, gates as PyTorch has them:
//
//   r = sigmoid(x_r + W_r h + b_r),  z = sigmoid(x_z + W_z h + b_z),  n = tanh(x_n + r (W_n h + b_n))
//   h = (1 - z) n + z h
//
//   x         (B * T, 3 H)  f32  products with the input, of r, z and n
//   weight    (3 H, H)      f32  of the state, likewise
//   bias      (3 H)         f32
//   positions (B * T)       i32  from 0 in each document, where the state is 0; below 0: padding, which keeps it
//   h         (B * T, H)    f32  out
//   gates     (B * T, 4 H)  f32  out, only with `taped`: r, z, n and W_n h + b_n
//   kept      (B, H)        f32  in and out, only with `cached`: the state before the first token, then the last
//
// A workgroup takes a row, its lanes the units in turn. Checked in test/tensor/ops/gru.test.ts.

import package::lib::exact::{exact_sigmoid, exact_tanh};

struct Params { t: u32, units: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<i32>;
@group(0) @binding(5) var<storage, read_write> h: array<f32>;
@if(taped) @group(0) @binding(6) var<storage, read_write> gates: array<f32>;
@if(cached) @group(0) @binding(7) var<storage, read_write> kept: array<f32>;

const MOST = 1024u;
var<workgroup> before: array<f32, MOST>;
var<workgroup> after: array<f32, MOST>;

@compute @workgroup_size(64)
fn scan(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let units = params.units;
  for (var i = lane; i < units; i += 64u) {
    var value = 0.0;
    @if(cached) value = kept[group.x * units + i];
    after[i] = value;
  }
  for (var step = 0u; step < params.t; step++) {
    let row = group.x * params.t + step;
    let position = positions[row];
    workgroupBarrier();
    for (var i = lane; i < units; i += 64u) { before[i] = select(after[i], 0.0, position == 0); }
    workgroupBarrier();
    for (var i = lane; i < units; i += 64u) {
      var reset = bias[i];
      var update = bias[units + i];
      var inner = bias[2u * units + i];
      for (var j = 0u; j < units; j++) {
        let own = before[j];
        reset = fma(weight[i * units + j], own, reset);
        update = fma(weight[(units + i) * units + j], own, update);
        inner = fma(weight[(2u * units + i) * units + j], own, inner);
      }
      let at = row * 3u * units + i;
      let r = exact_sigmoid(x[at] + reset);
      let z = exact_sigmoid(x[at + units] + update);
      let n = exact_tanh(fma(r, inner, x[at + 2u * units]));
      let next = select(fma(z, before[i] - n, n), before[i], position < 0);
      after[i] = next;
      h[row * units + i] = next;
      @if(taped) let place = row * 4u * units + i;
      @if(taped) gates[place] = r;
      @if(taped) gates[place + units] = z;
      @if(taped) gates[place + 2u * units] = n;
      @if(taped) gates[place + 3u * units] = inner;
    }
  }
  workgroupBarrier();
  @if(cached) for (var i = lane; i < units; i += 64u) { kept[group.x * units + i] = after[i]; }
}
