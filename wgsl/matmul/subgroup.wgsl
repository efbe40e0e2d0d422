// Matrix product C = scale op(A) op(B) + bias + addend by subgroups of LANES lanes, 4 or 8: the form for software
// drivers.
//
//   a       (m, k), or (k, m) under tn      f32, or bf16 under a_bf16
//   b       (k, n), or (n, k) under nt      f32, or bf16 under b_bf16, or rows of codes under b_codes
//   table   what rows of codes share        under b_levels or b_indexed (wgsl/lib/packed.wgsl)
//   bias    (n)                             f32, under bias
//   addend  (m, n)                          f32, under add; rows as in c
//   c       (m, n)  f32  out; added to when accumulate is 1
//
// Rows lie lda, ldb, ldc values apart, matrices of a batch (grid z) stride_a, stride_b, stride_c; everything in values.
//
// Under grouped, rows of a and c are sorted by expert and offsets (experts + 1) says where each begins; b is one matrix
// per expert. The grid has a row tile for the worst case, and those left over stop at once. Under grouped and tn, grid
// z is the expert, whose rows are summed over, and c is one matrix per expert.
//
// A subgroup makes a tile of 4 LANES x 4 LANES in registers. Each step loads four deep: lane l holds rows 4 l ... 4 l +
// 3 of A and columns 4 l ... 4 l + 3 of B, and every row of A goes to all lanes by a shuffle. A driver that computes on
// the CPU pays for every value that a lane loads (a bounds check and an insertion, as much as two multiplications) but
// little for shuffles and register spills, so the tile is as large as the instruction cache allows. Sums run over k in
// order.
//
// Where rows do not begin and end at multiples of 4 values, ragged_a, ragged_b and ragged_c read or write one value at
// a time; tail is for a k that is no multiple of 4. Checked against f64 in test/tensor/linear-algebra/products.test.ts,
// timed in test/bench/matmul.bench.ts.

@if(a_bf16 || b_bf16) import package::lib::bf16::unpack_bf16;
@if(b_codes) import package::lib::packed::Packed;
@if(b_codes && (b_levels || b_indexed)) import package::lib::packed::packed_four_by;
@if(b_codes && !b_levels && !b_indexed) import package::lib::packed::packed_four;

enable subgroups;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  lda: u32,
  ldb: u32,
  ldc: u32,
  start_a: u32,
  start_b: u32,
  start_c: u32,
  stride_a: u32,
  stride_b: u32,
  stride_c: u32,
  experts: u32,
  first_expert: u32,
  accumulate: u32,
  scale: f32,
  @if(b_codes) b_pitch: u32,
  @if(b_codes) b_scales: u32,
  @if(b_codes) b_beside: u32,
  @if(b_codes) b_shift: u32,
  @if(b_codes) b_index: u32,
  @if(b_codes) b_zero: f32,
}

@if(ragged_a && a_bf16) alias A = u32;
@if(ragged_a && !a_bf16) alias A = f32;
@if(!ragged_a && a_bf16) alias A = vec2u;
@if(!ragged_a && !a_bf16) alias A = vec4f;
@if(ragged_b && b_bf16) alias B = u32;
@if(ragged_b && !b_bf16) alias B = f32;
@if(!ragged_b && b_bf16) alias B = vec2u;
@if(!ragged_b && !b_bf16 && !b_codes) alias B = vec4f;
@if(b_codes) alias B = u32;
@if(ragged_c) alias C = f32;
@if(!ragged_c) alias C = vec4f;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@if(b_levels || b_indexed) @group(0) @binding(3) var<storage, read> table: array<u32>;
@if(bias) @group(0) @binding(4) var<storage, read> bias: array<f32>;
@if(add) @group(0) @binding(5) var<storage, read> addend: array<C>;
@if(grouped) @group(0) @binding(6) var<storage, read> offsets: array<u32>;
@group(0) @binding(7) var<storage, read_write> c: array<C>;

override LANES: u32 = 8;
override TILE: u32 = 4 * LANES;
const MOST = 32u; // TILE at most

@if(ragged_a) fn one_a(at: u32) -> f32 {
  @if(a_bf16) { let pair = a[at / 2u]; return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, (at & 1u) == 1u)); }
  @if(!a_bf16) return a[at];
}

@if(ragged_b) fn one_b(at: u32) -> f32 {
  @if(b_bf16) { let pair = b[at / 2u]; return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, (at & 1u) == 1u)); }
  @if(!b_bf16) return b[at];
}

// Four neighbours of a row that begins at `row`; those from `end` on repeat the last. A matrix of codes has whole
// vectors, and counts its rows one by one.
fn four_a(row: u32, at: u32, end: u32) -> vec4f {
  @if(ragged_a) {
    let last = row + end - 1u;
    let i = min(vec4u(row + at) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    return vec4f(one_a(i.x), one_a(i.y), one_a(i.z), one_a(i.w));
  }
  @if(!ragged_a && a_bf16) return unpack_bf16(a[(row + at) / 4u]);
  @if(!ragged_a && !a_bf16) return a[(row + at) / 4u];
}

fn four_b(row: u32, at: u32, end: u32) -> vec4f {
  @if(ragged_b) {
    let last = row + end - 1u;
    let i = min(vec4u(row + at) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    return vec4f(one_b(i.x), one_b(i.y), one_b(i.z), one_b(i.w));
  }
  @if(!ragged_b && b_bf16) return unpack_bf16(b[(row + at) / 4u]);
  @if(!ragged_b && !b_bf16 && !b_codes) return b[(row + at) / 4u];
  @if(b_codes) let form = Packed(params.b_scales, params.b_beside, params.b_shift, params.b_index, params.b_zero);
  @if(b_codes && (b_levels || b_indexed)) return packed_four_by(&b, &table, row * params.b_pitch, at, form);
  @if(b_codes && !b_levels && !b_indexed) return packed_four(&b, row * params.b_pitch, at, form);
}

@compute @workgroup_size(LANES)
fn subgroup(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  var top = group.y * TILE;
  var bottom = params.m;
  var first = 0u;
  var depth = params.k;
  var batch = group.z;
  @if(grouped && tn) {
    first = offsets[params.first_expert + batch];
    depth = offsets[params.first_expert + batch + 1u];
  }
  @if(grouped && !tn) {
    var tiles = group.y;
    var expert = 0u;
    for (; expert < params.experts; expert++) {
      let at = params.first_expert + expert;
      let own = (offsets[at + 1u] - offsets[at] + TILE - 1u) / TILE;
      if (tiles < own) { break; }
      tiles -= own;
    }
    let found = min(expert, params.experts - 1u);
    bottom = offsets[params.first_expert + found + 1u];
    top = select(offsets[params.first_expert + found] + tiles * TILE, bottom, expert == params.experts);
    batch = found;
    if (top >= bottom) { return; }
  }
  let left = group.x * TILE + 4u * lane;

  @if(grouped) let start_a = params.start_a;
  @if(!grouped) let start_a = params.start_a + batch * params.stride_a;
  @if(grouped && tn) let start_b = params.start_b;
  @if(!grouped || !tn) let start_b = params.start_b + batch * params.stride_b;
  @if(grouped && !tn) let start_c = params.start_c;
  @if(!grouped || tn) let start_c = params.start_c + batch * params.stride_c;

  // Where this lane's four rows of A and four columns of B begin. Lanes beyond the edge repeat the last row or column.
  @if(tn) let row_a = min(top + 4u * lane, (bottom - 1u) / 4u * 4u);
  @if(!tn) let row_a = start_a + min(vec4u(top + 4u * lane) + vec4u(0u, 1u, 2u, 3u), vec4u(bottom - 1u)) * params.lda;
  @if(nt) let row_b = start_b + min(vec4u(left) + vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u)) * params.ldb;
  @if(!nt) let column_b = min(left, (params.n - 1u) / 4u * 4u);

  var sums: array<vec4f, MOST>;
  for (var k = first; k < depth; k += 4u) {
    @if(tail || grouped) let deep = min(vec4u(k) + vec4u(0u, 1u, 2u, 3u), vec4u(depth - 1u));
    @if(!tail && !grouped) let deep = vec4u(k) + vec4u(0u, 1u, 2u, 3u);
    @if(tn) let x = start_a + deep * params.lda;
    @if(tn) var rows = transpose(mat4x4f(
      four_a(x[0], row_a, params.m),
      four_a(x[1], row_a, params.m),
      four_a(x[2], row_a, params.m),
      four_a(x[3], row_a, params.m),
    ));
    @if(!tn) var rows = mat4x4f(
      four_a(row_a[0], k, depth),
      four_a(row_a[1], k, depth),
      four_a(row_a[2], k, depth),
      four_a(row_a[3], k, depth),
    );
    @if(nt) var columns = transpose(mat4x4f(
      four_b(row_b[0], k, depth),
      four_b(row_b[1], k, depth),
      four_b(row_b[2], k, depth),
      four_b(row_b[3], k, depth),
    ));
    @if(!nt) let y = start_b + deep * params.ldb;
    @if(!nt) var columns = mat4x4f(
      four_b(y[0], column_b, params.n),
      four_b(y[1], column_b, params.n),
      four_b(y[2], column_b, params.n),
      four_b(y[3], column_b, params.n),
    );
    @if(tail || grouped) {
      // Both, so that no infinity of a value that is read twice meets the zero.
      for (var i = 1u; i < 4u; i++) {
        let inside = k + i < depth;
        columns[i] = select(vec4f(), columns[i], inside);
        for (var r = 0u; r < 4u; r++) { rows[r][i] = select(0.0, rows[r][i], inside); }
      }
    }
    for (var r = 0u; r < TILE; r++) {
      let x = subgroupShuffle(rows[r % 4u], r / 4u);
      sums[r] = fma(vec4f(x.w), columns[3], fma(vec4f(x.z), columns[2], fma(vec4f(x.y), columns[1], fma(vec4f(x.x), columns[0], sums[r]))));
    }
  }

  // A copy, as indices that vary would move the sums out of registers; longer than a loop that compilers unroll.
  var made: array<vec4f, 40>;
  for (var r = 0u; r < TILE; r++) { made[r] = sums[r]; }
  if (left >= params.n) { return; }
  var shift = vec4f();
  @if(bias) {
    for (var i = 0u; i < 4u; i++) { shift[i] = bias[min(left + i, params.n - 1u)]; }
  }
  for (var r = 0u; r < min(TILE, bottom - top); r++) {
    let at = start_c + (top + r) * params.ldc + left;
    let x = params.scale * made[r] + shift;
    @if(ragged_c) {
      for (var i = 0u; i < min(4u, params.n - left); i++) {
        var value = x[i];
        @if(add) value += addend[at + i];
        if (params.accumulate == 1u) { value += c[at + i]; }
        c[at + i] = value;
      }
    }
    @if(!ragged_c) {
      var value = x;
      @if(add) value += addend[at / 4u];
      if (params.accumulate == 1u) { value += c[at / 4u]; }
      c[at / 4u] = value;
    }
  }
}
