// Inverses of many small matrices by elimination without pivots: for matrices whose leading parts all have inverses, as
// those with a positive definite symmetric part have. One workgroup a matrix, a lane for every column.
//
//   x (E, N, N)     f32
//   work (E, N, N)  f32  scratch
//   y (E, N, N)     f32  out
//
// A lane changes its own columns alone; the pivot's column of `work` is read by all and stays as it is in its turn.
// Checked against f64 in test/tensor/ops/inverse.test.ts.

import package::lib::grid::span_of;

struct Params { blocks: u32, n: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> work: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn inverse(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let block = span_of(group, groups);
  let n = params.n;
  let size = select(0u, n, block < params.blocks);
  let first = block * n * n;
  for (var row = 0u; row < size; row++) {
    for (var j = lane; j < n; j += 64u) {
      work[first + row * n + j] = x[first + row * n + j];
      y[first + row * n + j] = select(0.0, 1.0, row == j);
    }
  }
  for (var p = 0u; p < n; p++) {
    storageBarrier();
    for (var j = lane; j < size; j += 64u) {
      let factor = 1.0 / work[first + p * n + p];
      let left = work[first + p * n + j] * factor;
      let right = y[first + p * n + j] * factor;
      if (j > p) { work[first + p * n + j] = left; }
      y[first + p * n + j] = right;
      for (var row = 0u; row < n; row++) {
        if (row == p) { continue; }
        let own = work[first + row * n + p];
        if (j > p) { work[first + row * n + j] -= own * left; }
        y[first + row * n + j] -= own * right;
      }
    }
  }
}
