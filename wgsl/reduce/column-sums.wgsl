// Sums of the columns of a matrix, over blocks of rows, or with `largest` the largest values, 0 at the least.
//
//   x    (N, C)       f32
//   sums (blocks, C)  f32  out, or in and out: with `accumulate` 1 what was there counts too
//
// A workgroup takes 64 columns and one block of `rows` rows, in order; neighbouring lanes read neighbouring addresses.
// Checked against f64 in test/tensor/ops/reduce.test.ts.

struct Params { n: u32, c: u32, rows: u32, accumulate: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn column_sums(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  if (column >= params.c) { return; }
  let end = min((group.y + 1u) * params.rows, params.n);
  var sum = 0.0;
  for (var row = group.y * params.rows; row < end; row++) {
    @if(!largest) sum += x[row * params.c + column];
    @if(largest) sum = max(sum, x[row * params.c + column]);
  }
  let at = group.y * params.c + column;
  @if(!largest) if (params.accumulate == 1u) { sum += sums[at]; }
  @if(largest) if (params.accumulate == 1u) { sum = max(sum, sums[at]); }
  sums[at] = sum;
}
