// How long one-dimensional ranges are shared out: every workgroup of 64 takes one span of 1024 neighbouring items and its
// lanes interleave over it. Loads coalesce on GPUs, and on software drivers, which run one workgroup after the other, memory
// is walked in order (one item per invocation is half as fast there, a stride over the whole range a third).

const LANES = 64u;
const SPAN = 1024u;

// The span of a workgroup; long grids are folded over y (65,535 workgroups at most per axis).
fn span_of(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}
