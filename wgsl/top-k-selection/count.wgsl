// How the magnitudes of a chunk lie about two bounds low < high, and the few that lie strictly between them.
//
//   bounds     (K)           vec4u  slot, low, high of each selection
//   counts     (spans, K, 64) vec4u out, of each lane of each reduction span: how many are > high, == high, strictly
//              between, == low
//   cursors    (K)           u32    in and out: candidates found so far
//   candidates (K, capacity) vec2u  out: (bits, index) of those strictly between, in no order; more than capacity are
//                                   dropped
//
// With a step above 1 only every step-th 256 values are looked at. The order of candidates depends on the adapter's
// scheduling; the selection made from them does not.
// Padding counts as zeros, which the host subtracts. Checked in test/merge/selection/top-k-selection.test.ts.

import package::lib::grid::{LANES, REDUCE_SPAN, span_of};
import package::lib::magnitudes::ranked;
@if(delta) import package::lib::operand::Operand;

struct Params { n: u32, pitch: u32, start: u32, capacity: u32, step: u32 }

// Three counts in one register, ten bits each: a lane sees at most 64 vectors of a span. Three registers are half as
// fast on software drivers, which then run out of them.
const AT_LOW = 1u;
const AT_HIGH = 1024u;
const ABOVE = 1048576u;

override K: u32 = 1; // selections from one source

@group(0) @binding(0) var<uniform> params: Params;
@if(delta) @group(0) @binding(1) var<storage, read> source: array<Operand>;
@if(!delta) @group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read> bounds: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> counts: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> cursors: array<atomic<u32>>;
@group(0) @binding(5) var<storage, read_write> candidates: array<vec2u>;

fn total(v: vec4u) -> u32 {
  return v.x + v.y + v.z + v.w;
}

@compute @workgroup_size(64)
fn count(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let span = span_of(group, groups);
  let n4 = (params.n + 3u) / 4u;
  let last = min(span * REDUCE_SPAN + REDUCE_SPAN, n4);
  for (var k = 0u; k < K; k++) {
    var tally = vec4u(0u);
    var inside = vec4u(0u);
    let slot = bounds[k].x * params.pitch;
    let low = vec4i(i32(bounds[k].y));
    let high = vec4i(i32(bounds[k].z));
    for (var i = span * REDUCE_SPAN + lane; i < last; i += LANES * params.step) {
      @if(delta) let bits = ranked(source[slot + i], source[i]);
      // Padding of a stack is zero, and the host knows how many zeros to subtract; of plain values nothing is known.
      @if(!delta) let all = ranked(source[slot + i], vec4f(0.0));
      @if(!delta) let real = vec4u(4u * i, 4u * i + 1u, 4u * i + 2u, 4u * i + 3u) < vec4u(params.n);
      @if(!delta) let bits = select(vec4i(0), all, real);
      let between = (bits > low) & (bits < high);
      let edge = select(select(vec4u(0u), vec4u(AT_LOW), bits == low), vec4u(AT_HIGH), bits == high);
      tally += select(edge, vec4u(ABOVE), bits > high);
      if (any(between)) {
        let flags = select(vec4u(0u), vec4u(1u), between);
        inside += flags;
        var place = atomicAdd(&cursors[k], total(flags));
        for (var c = 0u; c < 4u; c++) {
          if (between[c] && place < params.capacity) {
            candidates[k * params.capacity + place] = vec2u(u32(bits[c]), params.start + 4u * i + c);
            place++;
          }
        }
      }
    }
    if (span * REDUCE_SPAN < n4) {
      let at_low = tally % AT_HIGH;
      let at_high = (tally / AT_HIGH) % AT_HIGH;
      counts[(span * K + k) * LANES + lane] = vec4u(total(tally / ABOVE), total(at_high), total(inside), total(at_low));
    }
  }
}
