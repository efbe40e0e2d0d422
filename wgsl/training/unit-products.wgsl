// sums += a times the sum over every unit of a matrix, a row or with `columns` a column, of weight x gradient; with
// `magnitude` of |weight x gradient|: how a loss would change with a gate on each unit, and how much it hangs on it.
//
//   weight   (N, C)  f32 or bf16  in pairs
//   gradient (N, C)  f32
//   sums             f32  in and out; the units of this part begin at `first`
//
// One lane a unit, over columns; over rows a workgroup, or with `serial` a lane. Checked in
// test/run/fisher/unit-products.test.ts.

import package::lib::grid::span_of;
import package::lib::row::{row_sum, row_of, row_first, row_step, row_leads};

struct Params { n: u32, c: u32, first: u32, a: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(weight_bf16) @group(0) @binding(1) var<storage, read> weight: array<u32>;
@if(!weight_bf16) @group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

fn product(i: u32) -> f32 {
  @if(weight_bf16) let pair = weight[i / 2u];
  @if(weight_bf16) let w = bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, i % 2u == 1u));
  @if(!weight_bf16) let w = weight[i];
  @if(magnitude) return abs(w * gradient[i]);
  @if(!magnitude) return w * gradient[i];
}

@compute @workgroup_size(64)
fn unit_products(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  @if(columns) let unit = span_of(group, groups) * 64u + lane;
  @if(columns) let units = params.c;
  @if(!columns) let unit = row_of(lane, group, groups);
  @if(!columns) let units = params.n;
  var sum = 0.0;
  if (unit < units) {
    @if(columns) for (var row = 0u; row < params.n; row++) { sum += product(row * params.c + unit); }
    @if(!columns) for (var i = row_first(lane); i < params.c; i += row_step) { sum += product(unit * params.c + i); }
  }
  @if(columns) let leads = true;
  @if(!columns) let leads = row_leads(lane);
  @if(!columns) sum = row_sum(sum, lane);
  if (leads && unit < units) { sums[params.first + unit] += params.a * sum; }
}
