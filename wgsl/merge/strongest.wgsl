// Entry of largest magnitude of every row and its place, the first of equals; entries that a row has taken before do
// not count.
//
//   x (N, C)      f32
//   taken (N, T)  i32  places, of which the first `t` count; those outside of 0 to C - 1 are of no entry
//   y (N)         f32  out, the magnitude; -1 where all are taken
//   place (N)     i32  out
//
// One workgroup a row, or with `serial` one lane. Checked against a loop in test/merge/transplant/shared-search.test.ts

import package::lib::row::{row_max, row_of, row_first, row_step, row_leads};

struct Params {
  n: u32,
  c: u32,
  t: u32,
  most: u32, // T
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> taken: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> place: array<i32>;

fn is_taken(row: u32, at: u32) -> bool {
  for (var i = 0u; i < params.t; i++) {
    if (taken[row * params.most + i] == i32(at)) { return true; }
  }
  return false;
}

@compute @workgroup_size(64)
fn strongest(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  let used = row < params.n;
  let safe = select(0u, row, used);
  var most = -1.0;
  var at = 0u;
  for (var i = row_first(lane); i < params.c; i += row_step) {
    let value = abs(x[safe * params.c + i]);
    if (value > most && !is_taken(safe, i)) {
      most = value;
      at = i;
    }
  }
  let best = row_max(most, lane);
  // Minus the first place of the largest; places fit f32 exactly up to 2^24.
  let behind = row_max(select(-3.4e38, -f32(at), most == best), lane);
  if (!row_leads(lane) || !used) { return; }
  y[row] = best;
  place[row] = i32(-behind);
}
