// The index of the r-th value (from 0) whose magnitude equals `bits` within one span of a chunk.
//
//   found (1) u32  out: index in the tensor
//
// One workgroup: every lane counts a run of 256 neighbouring values, the runs before it are added up, and the lane that
// holds the r-th match writes it. Checked in test/merge/selection/top-k-selection.test.ts.

import package::lib::grid::{LANES, REDUCE_SPAN};
import package::lib::magnitudes::ranked;
@if(delta) import package::lib::operand::Operand;

struct Params { n: u32, pitch: u32, slot: u32, start: u32, span: u32, bits: u32, r: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@if(delta) @group(0) @binding(1) var<storage, read> source: array<Operand>;
@if(!delta) @group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> found: array<u32>;

const RUN = REDUCE_SPAN / LANES;

var<workgroup> matches: array<u32, LANES>;

fn matching(i: u32) -> vec4<bool> {
  @if(delta) let bits = ranked(source[params.slot * params.pitch + i], source[i]);
  @if(!delta) let bits = ranked(source[params.slot * params.pitch + i], vec4f(0.0));
  let real = vec4u(4u * i, 4u * i + 1u, 4u * i + 2u, 4u * i + 3u) < vec4u(params.n);
  return real & (bits == vec4i(i32(params.bits)));
}

@compute @workgroup_size(64)
fn locate(@builtin(local_invocation_index) lane: u32) {
  let first = params.span * REDUCE_SPAN + lane * RUN;
  let last = min(first + RUN, (params.n + 3u) / 4u);
  var own = 0u;
  for (var i = first; i < last; i++) {
    let hit = select(vec4u(0u), vec4u(1u), matching(i));
    own += hit.x + hit.y + hit.z + hit.w;
  }
  matches[lane] = own;
  workgroupBarrier();
  var before = 0u;
  for (var l = 0u; l < lane; l++) { before += matches[l]; }
  if (params.r < before || params.r >= before + own) { return; }
  for (var i = first; i < last; i++) {
    let hit = matching(i);
    for (var c = 0u; c < 4u; c++) {
      if (hit[c]) {
        if (before == params.r) { found[0] = params.start + 4u * i + c; }
        before++;
      }
    }
  }
}
