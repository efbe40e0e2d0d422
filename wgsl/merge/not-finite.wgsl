// Which inputs of a stack have a value that is not finite.
//
//   stack (K, pitch) operands
//   found (...)      u32  1 at `at + k` where input k has NaN or an infinity; others are left as they are
//
// A word per lane says it, and memory is written only where something is found. Padding is zero. Bits are tested, since
// compilers may take every number for finite. Checked in test/merge/job/input-watch.test.ts.

import package::lib::grid::{LANES, SPAN, span_of};
import package::lib::operand::{Operand, load};

struct Params { n4: u32, pitch: u32, slots: u32, at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> found: array<atomic<u32>>;

const EXPONENT = 0x7f800000u;

@compute @workgroup_size(64)
fn not_finite(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let first = span_of(group, groups) * SPAN;
  let last = min(first + SPAN, params.n4);
  for (var k = 0u; k < params.slots; k++) {
    // Adding one to a full exponent carries into the sign.
    var carry = vec4u(0u);
    for (var i = first + lane; i < last; i += LANES) {
      carry |= (bitcast<vec4u>(load(stack[k * params.pitch + i])) & vec4u(EXPONENT)) + vec4u(0x00800000u);
    }
    if (((carry.x | carry.y | carry.z | carry.w) & 0x80000000u) != 0u) { atomicOr(&found[params.at + k], 1u); }
  }
}
