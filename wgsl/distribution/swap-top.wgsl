// Logits with the label's and the largest exchanged, so that the label comes first and the rest stays as it was (LSSD,
// arXiv:2407.10804).
//
//   logits (N, V)    f32
//   targets (N)      i32  negative: copied
//   y (N, V)         f32  out
//
// One workgroup a row, or with `serial` one lane; of equal largest the first. Checked in
// test/tensor/ops/distribution.test.ts.

import package::lib::row::{row_max, row_of, row_first, row_step};

struct Params {
  n: u32,
  v: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn swap_top(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let start = select(0u, row * params.v, used);
  var most = -3.4e38;
  for (var i = row_first(lane); i < params.v; i += row_step) { most = max(most, logits[start + i]); }
  most = row_max(most, lane);
  var behind = -3.4e38; // minus the first place of the largest
  for (var i = row_first(lane); i < params.v; i += row_step) {
    if (logits[start + i] == most) { behind = max(behind, -f32(i)); }
  }
  let top = u32(-row_max(behind, lane));
  if (!used) { return; }
  let label = targets[row];
  for (var i = row_first(lane); i < params.v; i += row_step) {
    var x = logits[start + i];
    if (label >= 0) {
      if (i == u32(label)) { x = most; } else if (i == top) { x = logits[start + u32(label)]; }
    }
    y[start + i] = x;
  }
}
