// Where the `count` weights of least importance end, in each of several selections.
//
//   weight  (selections * rows, pitch)  f32    columns [from, from + width) of `rows` rows are one selection
//   factors (pitch)                     f32    of columns, not negative
//   cuts    (selections)                vec2u  out: importance and place (row in the selection * width + column) of the
//                                              last one that goes; of equal ones the first places go
//
// One workgroup a selection, which counts digits of eight bits, the most significant first: those of the importance,
// then among equals those of the place. `count` is at least 1. Checked against a sort in
// test/tensor/weight-selection.test.ts.

import package::lib::grid::span_of;
import package::lib::importance::importance;

struct Params {
  selections: u32, rows: u32, pitch: u32, from_column: u32, width: u32, count: u32, place_bits: u32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read_write> cuts: array<vec2u>;

const LANES = 256u;
const BINS = 256u;

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> cut: vec2u;
var<workgroup> wanted: u32;

@compute @workgroup_size(256)
fn lowest_cuts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let selection = span_of(group, groups);
  let here = selection < params.selections;
  let first = selection * params.rows;
  let items = select(0u, params.rows * params.width, here);
  if (lane == 0u) {
    cut = vec2u(0u);
    wanted = params.count;
  }
  for (var pass_index = 0u; pass_index < 8u; pass_index++) {
    let shift = 24u - 8u * (pass_index % 4u);
    let by_place = pass_index >= 4u;
    if (by_place && shift >= params.place_bits) { continue; }
    atomicStore(&bins[lane], 0u);
    workgroupBarrier();
    // Digits before this one.
    let mask = select(0xffffff00u << shift, 0u, shift == 24u);
    let known = cut;
    for (var at = lane; at < items; at += LANES) {
      let column = params.from_column + at % params.width;
      let key = importance(weight[(first + at / params.width) * params.pitch + column], factors[column]);
      let counted = select((key & mask) == known.x, key == known.x && (at & mask) == known.y, by_place);
      if (counted) { atomicAdd(&bins[(select(key, at, by_place) >> shift) & 255u], 1u); }
    }
    workgroupBarrier();
    if (lane == 0u) {
      var left = wanted;
      var digit = 0u;
      while (digit < BINS - 1u) {
        let found = atomicLoad(&bins[digit]);
        if (found >= left) { break; }
        left -= found;
        digit++;
      }
      wanted = left;
      cut += select(vec2u(digit << shift, 0u), vec2u(0u, digit << shift), by_place);
    }
    workgroupBarrier();
  }
  if (lane == 0u && here) { cuts[selection] = cut; }
}
