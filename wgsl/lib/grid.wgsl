// How long one-dimensional ranges are shared out: every workgroup of 64 takes one span of 1024 neighbouring items and
// its lanes interleave over it. Loads coalesce on GPUs, and on software drivers, which run one workgroup after the
// other, memory is walked in order (one item per invocation is half as fast there, a stride over the whole range a
// third).

const LANES = 64u;
const SPAN = 1024u;

// Reductions take longer spans, and every lane writes its own partial result for the host to add up: a barrier costs a
// software driver more than the reading of a thousand values.
const REDUCE_SPAN = 4096u;

// The span of a workgroup; long grids are folded over y (65,535 workgroups at most per axis).
fn span_of(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}
