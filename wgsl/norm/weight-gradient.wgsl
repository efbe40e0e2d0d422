// What a norm's weight takes from blocks of groups: sums of dy * h over them, h the normalised x.
//
//   dy, x  (N, W)       f32  N groups of W values
//   saved  (N)          f32  as wgsl/norm/normalize.wgsl left it
//   sums   (blocks, W)  f32  out
//
// A workgroup takes 64 columns and a block of `rows` groups, in order. Checked in test/tensor/ops/norm.test.ts.

struct Params { n: u32, w: u32, rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> saved: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn weight_gradient(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let column = group.x * 64u + lane;
  if (column >= params.w) { return; }
  let end = min((group.y + 1u) * params.rows, params.n);
  var sum = 0.0;
  for (var row = group.y * params.rows; row < end; row++) {
    var mean = 0.0;
    @if(layer) mean = saved[params.n + row];
    sum += dy[row * params.w + column] * (x[row * params.w + column] - mean) * saved[row];
  }
  sums[group.y * params.w + column] = sum;
}
