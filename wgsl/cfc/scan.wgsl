// Closed-form continuous-time cells over tokens in order:
//
//   z = tanh(x + W s),  f = W_f z + b_f,  g = tanh(W_g z + b_g),  h = tanh(W_h z + b_h)
//   s = t g + (1 - t) h,  t = sigmoid(-f step)
//
//   x         (B * T, M)   f32  products with the input, with their bias
//   weight    (M, H)       f32  of the state (W)
//   heads     (3 H, M)     f32  of f, g and h
//   bias      (3 H)        f32  likewise
//   positions (B * T)      i32  from 0 in each document, where the state is 0; below 0: padding, which keeps it
//   s         (B * T, H)   f32  out
//   hidden    (B * T, M)   f32  out, only with `taped`: z
//   gates     (B * T, 3 H) f32  out, only with `taped`: t, g and h
//   kept      (B, H)       f32  in and out, only with `cached`: the state before the first token, then the last
//
// A workgroup takes a row, its lanes the units in turn. Checked in test/tensor/ops/cfc.test.ts.

import package::lib::exact::{exact_sigmoid, exact_tanh};

struct Params { t: u32, units: u32, inner: u32, step: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> heads: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read_write> s: array<f32>;
@if(taped) @group(0) @binding(7) var<storage, read_write> hidden: array<f32>;
@if(taped) @group(0) @binding(8) var<storage, read_write> gates: array<f32>;
@if(cached) @group(0) @binding(9) var<storage, read_write> kept: array<f32>;

const MOST = 512u;
const WIDEST = 1024u;
var<workgroup> states: array<f32, MOST>;
var<workgroup> z: array<f32, WIDEST>;

@compute @workgroup_size(64)
fn scan(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let units = params.units;
  let inner = params.inner;
  for (var i = lane; i < units; i += 64u) {
    var value = 0.0;
    @if(cached) value = kept[group.x * units + i];
    states[i] = value;
  }
  for (var step = 0u; step < params.t; step++) {
    let row = group.x * params.t + step;
    let position = positions[row];
    workgroupBarrier();
    for (var i = lane; i < units; i += 64u) { states[i] = select(states[i], 0.0, position == 0); }
    workgroupBarrier();
    for (var i = lane; i < inner; i += 64u) {
      var sum = x[row * inner + i];
      for (var j = 0u; j < units; j++) { sum = fma(weight[i * units + j], states[j], sum); }
      z[i] = exact_tanh(sum);
      @if(taped) hidden[row * inner + i] = z[i];
    }
    workgroupBarrier();
    for (var i = lane; i < units; i += 64u) {
      var f = bias[i];
      var g = bias[units + i];
      var h = bias[2u * units + i];
      for (var j = 0u; j < inner; j++) {
        let own = z[j];
        f = fma(heads[i * inner + j], own, f);
        g = fma(heads[(units + i) * inner + j], own, g);
        h = fma(heads[(2u * units + i) * inner + j], own, h);
      }
      let share = exact_sigmoid(-f * params.step);
      g = exact_tanh(g);
      h = exact_tanh(h);
      let next = select(fma(share, g - h, h), states[i], position < 0);
      states[i] = next;
      s[row * units + i] = next;
      @if(taped) let place = row * 3u * units + i;
      @if(taped) gates[place] = share;
      @if(taped) gates[place + units] = g;
      @if(taped) gates[place + 2u * units] = h;
    }
  }
  workgroupBarrier();
  @if(cached) for (var i = lane; i < units; i += 64u) { kept[group.x * units + i] = states[i]; }
}
