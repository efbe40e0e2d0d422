// Draws which entries of a task vector survive, with a chance that grows with the rank of their magnitude within the
// row.
//   chance(rank) = (lowest + floor(rank * step)) / 2^24,  rank 0 the smallest; of equal magnitudes the lower index
//                                                         ranks lower
//
//   stack (slots, pitch)       operands  base in slot 0, the model in `slot`
//   pairs (rows, padded)       vec2u     scratch: (magnitude bits, column), sorted here
//   masks (K, mask_pitch)      u32       in and out: bit of each survivor is set; zero before
//
// One workgroup sorts one row by a bitonic network, log2(padded) (log2(padded) + 1) / 2 rounds over pairs in storage,
// so rows of any length do. Rows [first_row, first_row + rows) of a chunk that holds whole rows. Bits are set by
// atomics because rows may share a word; their order does not matter. The product rank * step is one correctly rounded
// multiplication, so masks are the same on every adapter. Source: MagPrune of DELLA, arXiv:2406.11617. Checked against
// a sort in test/merge/methods/task-vectors/della.test.ts.

import package::lib::grid::{LANES, span_of};
import package::lib::operand::{Operand, load};
import package::lib::random::random_bits;
import package::lib::rounding::rounded;
import package::lib::top::magnitude_bits;

struct Params {
  pitch: u32,
  slot: u32,
  columns: u32,
  padded: u32,      // columns rounded up to a power of two
  first_row: u32,
  rows: u32,
  start: u32,       // index of the chunk's first value in the tensor
  mask: u32,        // first word of the model's mask
  key_x: u32,
  key_y: u32,
  lowest: u32,
  step: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> pairs: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> masks: array<atomic<u32>>;

fn magnitude(i: u32) -> u32 {
  let d = rounded(load(stack[params.slot * params.pitch + i / 4u]) - load(stack[i / 4u]));
  return u32(magnitude_bits(d)[i % 4u]);
}

fn before(a: vec2u, b: vec2u) -> bool {
  return a.x < b.x || (a.x == b.x && a.y < b.y);
}

@compute @workgroup_size(64)
fn rank_masks(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups);
  if (row >= params.rows) { return; }
  let own = row * params.padded;
  let origin = (params.first_row + row) * params.columns;
  for (var c = lane; c < params.padded; c += LANES) {
    var pair = vec2u(0xffffffffu, c); // padding sorts last
    if (c < params.columns) { pair.x = magnitude(origin + c); }
    pairs[own + c] = pair;
  }
  storageBarrier();
  for (var run = 2u; run <= params.padded; run *= 2u) {
    for (var apart = run / 2u; apart > 0u; apart /= 2u) {
      for (var t = lane; t < params.padded / 2u; t += LANES) {
        let low = 2u * t - (t & (apart - 1u));
        let a = pairs[own + low];
        let b = pairs[own + low + apart];
        if (before(b, a) == ((low & run) == 0u)) {
          pairs[own + low] = b;
          pairs[own + low + apart] = a;
        }
      }
      storageBarrier();
    }
  }
  for (var rank = lane; rank < params.columns; rank += LANES) {
    let at = params.start + origin + pairs[own + rank].y;
    let chance = params.lowest + u32(f32(rank) * params.step);
    if ((random_bits(vec4u(at), vec2u(params.key_x, params.key_y)).x >> 8u) < chance) {
      atomicOr(&masks[params.mask + at / 32u], 1u << (at % 32u));
    }
  }
}
