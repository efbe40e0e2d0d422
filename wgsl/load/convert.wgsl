// Converts between storage types, four values at a time: F8 (from_e4m3, from_e5m2), BF16, F16 or F32 in; BF16, F16 or F32 out.
//
//   source (n4) one u32 for F8, otherwise an operand
//   result (n4) out
//
// Exact when widening, to nearest even when narrowing. Checked over every bit pattern in test/wgsl/load/convert.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
@if(from_e4m3) import package::lib::f8::unpack_e4m3;
@if(from_e5m2) import package::lib::f8::unpack_e5m2;
@if(!from_e4m3 && !from_e5m2) import package::lib::operand::{Operand, load};
import package::lib::result::{Result, store};

struct Params { n4: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(from_e4m3 || from_e5m2) @group(0) @binding(1) var<storage, read> source: array<u32>;
@if(!from_e4m3 && !from_e5m2) @group(0) @binding(1) var<storage, read> source: array<Operand>;
@group(0) @binding(2) var<storage, read_write> result: array<Result>;

@compute @workgroup_size(64)
fn convert(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var i = first + lane; i < last; i += LANES) {
    @if(from_e4m3) let x = unpack_e4m3(source[i]);
    @if(from_e5m2) let x = unpack_e5m2(source[i]);
    @if(!from_e4m3 && !from_e5m2) let x = load(source[i]);
    result[i] = store(x);
  }
}
