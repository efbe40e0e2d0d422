// Gradients of y = act(gate) * up, both in one pass; act is SiLU, or with `gelu` the tanh form of GELU.
//
//   dy           (N)  f32
//   gate, up     (N)  f32  or with `joined` both in gate, (rows, 2 W): a row's gates before its ups
//   d_gate, d_up (N)  f32  out, or in and out: added with `accumulate_gate`, `accumulate_up` 1; with `joined` both in
//                          d_gate, as in gate
//
// Checked against finite differences in test/tensor/ops/activation.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::exact::exact_sigmoid;

struct Params { count: u32, w: u32, accumulate_gate: u32, accumulate_up: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> gate: array<f32>;
@if(!joined) @group(0) @binding(3) var<storage, read> up: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_gate: array<f32>;
@if(!joined) @group(0) @binding(5) var<storage, read_write> d_up: array<f32>;

// The activation over its argument, and the slope of the activation over that.
struct Turn { share: f32, rest: f32 }

fn turn(g: f32) -> Turn {
  @if(!gelu) let s = exact_sigmoid(g);
  @if(!gelu) return Turn(s, 1.0 + g * (1.0 - s));
  @if(gelu) let s = exact_sigmoid(1.5957691216 * (g + 0.044715 * g * g * g));
  @if(gelu) return Turn(s, 1.0 + g * (1.0 - s) * 1.5957691216 * (1.0 + 0.134145 * g * g));
}

@compute @workgroup_size(64)
fn gated_gradient(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let start = span_of(group, groups) * SPAN * 4u;
  let end = min(start + SPAN * 4u, params.count);
  for (var i = start + lane; i < end; i += LANES) {
    @if(!joined) let at = i;
    @if(joined) let at = i + (i / params.w) * params.w;
    let g = gate[at];
    @if(!joined) let u = up[i];
    @if(joined) let u = gate[at + params.w];
    let t = turn(g);
    let of_gate = dy[i] * u * t.share * t.rest;
    let of_up = dy[i] * g * t.share;
    if (params.accumulate_gate == 0u) { d_gate[at] = of_gate; } else { d_gate[at] += of_gate; }
    @if(!joined) if (params.accumulate_up == 0u) { d_up[i] = of_up; } else { d_up[i] += of_up; }
    @if(joined) if (params.accumulate_up == 0u) { d_gate[at + params.w] = of_up; } else { d_gate[at + params.w] += of_up; }
  }
}
