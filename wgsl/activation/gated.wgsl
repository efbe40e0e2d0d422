// Gated linear unit: y = act(gate) * up, act SiLU (SwiGLU), or with `gelu` the tanh form of GELU (GeGLU).
// arXiv:2002.05202
//
//   gate, up (N)        f32  or with `joined` both in gate, (rows, 2 W): a row's gates before its ups
//   y        (N)        f32  out
//
// Checked against f64 in test/tensor/ops/activation.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_sigmoid;

struct Params { count: u32, w: u32 } // w: width of a row, read with `joined`

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@if(!joined) @group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// (1 + tanh u) / 2 is sigmoid 2 u, which does not cancel on the left; 2 sqrt(2 / pi) is 1.5957691216.
fn share(g: f32) -> f32 {
  @if(!gelu) return exact_sigmoid(g);
  @if(gelu) return exact_sigmoid(1.5957691216 * (g + 0.044715 * g * g * g));
}

@compute @workgroup_size(64)
fn gated(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN * 4u;
  let end = min(start + SPAN * 4u, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    @if(!joined) let g = gate[i];
    @if(!joined) let u = up[i];
    @if(joined) let at = i + (i / params.w) * params.w;
    @if(joined) let g = gate[at];
    @if(joined) let u = gate[at + params.w];
    y[i] = g * share(g) * u;
  }
}
