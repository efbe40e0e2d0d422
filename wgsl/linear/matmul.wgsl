// Matrix product C = alpha op(A) op(B) + beta C of f32 matrices, row-major; op transposes under transpose_a, transpose_b.
//
//   a (m, k), or (k, m) under transpose_a    rows `a_stride` apart, first value at `a_start`
//   b (k, n), or (n, k) under transpose_b
//   c (m, n)  in and out; not read when beta is 0
//
// A workgroup makes a tile of 32 x 32, each lane 4 x 4 of it in registers; tiles of A and B are staged 16 deep (4 KiB), so a
// value is fetched once per 32 uses. Sums run over k in order. Checked against f64 in test/tensor/matmul.test.ts.

struct Params {
  m: u32,
  n: u32,
  k: u32,
  a_start: u32,
  a_stride: u32,
  b_start: u32,
  b_stride: u32,
  c_start: u32,
  c_stride: u32,
  alpha: f32,
  beta: f32,
}

const TILE = 32u;
const DEPTH = 16u;
const LANES = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

var<workgroup> tile_a: array<f32, 512>; // (DEPTH, TILE)
var<workgroup> tile_b: array<f32, 512>; // (DEPTH, TILE)

fn value_a(row: u32, depth: u32) -> f32 {
  if (row >= params.m || depth >= params.k) { return 0.0; }
  @if(transpose_a) return a[params.a_start + depth * params.a_stride + row];
  @if(!transpose_a) return a[params.a_start + row * params.a_stride + depth];
}

fn value_b(depth: u32, column: u32) -> f32 {
  if (column >= params.n || depth >= params.k) { return 0.0; }
  @if(transpose_b) return b[params.b_start + column * params.b_stride + depth];
  @if(!transpose_b) return b[params.b_start + depth * params.b_stride + column];
}

@compute @workgroup_size(64)
fn matmul(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let top = group.y * TILE;
  let left = group.x * TILE;
  let row = (lane / 8u) * 4u;
  let column = (lane % 8u) * 4u;
  var sums = mat4x4f(); // column r holds row r of this lane's part
  for (var depth = 0u; depth < params.k; depth += DEPTH) {
    for (var s = lane; s < TILE * DEPTH; s += LANES) {
      // Neighbouring lanes read neighbouring addresses, whichever way the operand lies.
      @if(transpose_a) let at = vec2u(s / TILE, s % TILE);
      @if(!transpose_a) let at = vec2u(s % DEPTH, s / DEPTH);
      tile_a[at.x * TILE + at.y] = value_a(top + at.y, depth + at.x);
      @if(transpose_b) let bt = vec2u(s % DEPTH, s / DEPTH);
      @if(!transpose_b) let bt = vec2u(s / TILE, s % TILE);
      tile_b[bt.x * TILE + bt.y] = value_b(depth + bt.x, left + bt.y);
    }
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let at = d * TILE + column;
      let across = vec4f(tile_b[at], tile_b[at + 1u], tile_b[at + 2u], tile_b[at + 3u]);
      let down = d * TILE + row;
      sums[0] = fma(vec4f(tile_a[down]), across, sums[0]);
      sums[1] = fma(vec4f(tile_a[down + 1u]), across, sums[1]);
      sums[2] = fma(vec4f(tile_a[down + 2u]), across, sums[2]);
      sums[3] = fma(vec4f(tile_a[down + 3u]), across, sums[3]);
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    for (var q = 0u; q < 4u; q++) {
      if (top + row + r >= params.m || left + column + q >= params.n) { continue; }
      let at = params.c_start + (top + row + r) * params.c_stride + left + column + q;
      var x = params.alpha * sums[r][q];
      if (params.beta != 0.0) { x += params.beta * c[at]; }
      c[at] = x;
    }
  }
}
