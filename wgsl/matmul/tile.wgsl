// Matrix product C = scale op(A) op(B) + bias + addend by tiles in workgroup memory: the form for real GPUs and for
// adapters without subgroups.
//
//   a       (m, k), or (k, m) under tn      f32, or bf16 under a_bf16
//   b       (k, n), or (n, k) under nt      f32, or bf16 under b_bf16, or rows of codes under b_codes
//   table   what rows of codes share        under b_levels or b_indexed (wgsl/lib/packed.wgsl)
//   bias    (n)                             f32, under bias
//   addend  (m, n)                          f32, under add; rows as in c
//   c       (m, n)  f32  out; added to when accumulate is 1
//
// Strides, batches, grouped, tail and ragged_* are as in wgsl/matmul/subgroup.wgsl.
//
// A workgroup of 16 x 16 lanes makes a tile of 64 x 64, each lane 4 x 4 of it (under large 128 x 128 and 8 x 8). Half
// of the lanes stage A, the other half B, each lane a block of 4 x 4 that it turns so that k comes first: the products
// then read whole vectors, neighbouring lanes neighbouring columns. bf16 becomes f32 on the way in. Sums run over k in
// order. Checked against f64 in test/tensor/linear-algebra/products.test.ts.

@if(a_bf16 || b_bf16) import package::lib::bf16::unpack_bf16;
@if(b_codes) import package::lib::packed::Packed;
@if(b_codes && (b_levels || b_indexed)) import package::lib::packed::packed_four_by;
@if(b_codes && !b_levels && !b_indexed) import package::lib::packed::packed_four;

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

@if(large) const PER = 8u;
@if(!large) const PER = 4u;
@if(large) const SLAB = 16u;
@if(!large) const SLAB = 32u;
const TILE = 16u * PER;
const QUADS = TILE / 4u;

var<workgroup> tile_a: array<vec4f, SLAB * QUADS>; // (SLAB, QUADS)
var<workgroup> tile_b: array<vec4f, SLAB * QUADS>;

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

// Rows at ... at + 3 of A, k ... k + 3, as one vector of rows per k.
fn block_a(start: u32, at: u32, bottom: u32, k: u32, depth: u32) -> mat4x4f {
  @if(tn) {
    let row = min(at, (bottom - 1u) / 4u * 4u);
    let x = start + min(vec4u(k) + vec4u(0u, 1u, 2u, 3u), vec4u(depth - 1u)) * params.lda;
    return mat4x4f(
      four_a(x[0], row, bottom),
      four_a(x[1], row, bottom),
      four_a(x[2], row, bottom),
      four_a(x[3], row, bottom),
    );
  }
  @if(!tn) {
    let x = start + min(vec4u(at) + vec4u(0u, 1u, 2u, 3u), vec4u(bottom - 1u)) * params.lda;
    return transpose(mat4x4f(
      four_a(x[0], k, depth),
      four_a(x[1], k, depth),
      four_a(x[2], k, depth),
      four_a(x[3], k, depth),
    ));
  }
}

// Columns at ... at + 3 of B, as one vector of columns per k.
fn block_b(start: u32, at: u32, k: u32, depth: u32) -> mat4x4f {
  @if(nt) {
    let y = start + min(vec4u(at) + vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u)) * params.ldb;
    return transpose(mat4x4f(
      four_b(y[0], k, depth),
      four_b(y[1], k, depth),
      four_b(y[2], k, depth),
      four_b(y[3], k, depth),
    ));
  }
  @if(!nt) {
    let column = min(at, (params.n - 1u) / 4u * 4u);
    let y = start + min(vec4u(k) + vec4u(0u, 1u, 2u, 3u), vec4u(depth - 1u)) * params.ldb;
    return mat4x4f(
      four_b(y[0], column, params.n),
      four_b(y[1], column, params.n),
      four_b(y[2], column, params.n),
      four_b(y[3], column, params.n),
    );
  }
}

@compute @workgroup_size(256)
fn tile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
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
    if (top >= bottom) { depth = 0u; }
  }
  @if(grouped) let start_a = params.start_a;
  @if(!grouped) let start_a = params.start_a + batch * params.stride_a;
  @if(grouped && tn) let start_b = params.start_b;
  @if(!grouped || !tn) let start_b = params.start_b + batch * params.stride_b;
  @if(grouped && !tn) let start_c = params.start_c;
  @if(!grouped || tn) let start_c = params.start_c + batch * params.stride_c;

  let left = group.x * TILE;
  let stages_a = lane < 128u;
  let block = lane % 128u;
  // Neighbouring lanes take neighbouring blocks along the rows that they read.
  @if(tn) let from_a = vec2u(block % QUADS, block / QUADS);
  @if(!tn) let from_a = vec2u(block / (SLAB / 4u), block % (SLAB / 4u));
  @if(nt) let from_b = vec2u(block / (SLAB / 4u), block % (SLAB / 4u));
  @if(!nt) let from_b = vec2u(block % QUADS, block / QUADS);
  let place = select(from_b, from_a, stages_a);
  let row = lane / 16u;
  let column = lane % 16u;

  var sums: array<array<vec4f, PER / 4u>, PER>;
  for (var slab = first; slab < depth; slab += SLAB) {
    let k = slab + 4u * place.y;
    let inside = vec4u(k) + vec4u(0u, 1u, 2u, 3u) < vec4u(depth);
    var staged = mat4x4f();
    if (inside.x) {
      if (stages_a) { staged = block_a(start_a, top + 4u * place.x, bottom, k, depth); }
      else { staged = block_b(start_b, left + 4u * place.x, k, depth); }
    }
    for (var i = 0u; i < 4u; i++) {
      let value = select(vec4f(), staged[i], inside[i]);
      let at = (4u * place.y + i) * QUADS + place.x;
      if (stages_a) { tile_a[at] = value; } else { tile_b[at] = value; }
    }
    workgroupBarrier();
    for (var q = 0u; q < SLAB; q++) {
      var across: array<vec4f, PER / 4u>;
      for (var j = 0u; j < PER / 4u; j++) { across[j] = tile_b[q * QUADS + 16u * j + column]; }
      for (var i = 0u; i < PER / 4u; i++) {
        let down = tile_a[q * QUADS + 16u * i + row];
        for (var r = 0u; r < 4u; r++) {
          for (var j = 0u; j < PER / 4u; j++) {
            sums[4u * i + r][j] = fma(vec4f(down[r]), across[j], sums[4u * i + r][j]);
          }
        }
      }
    }
    workgroupBarrier();
  }

  for (var j = 0u; j < PER / 4u; j++) {
    let at_column = left + 4u * (16u * j + column);
    if (at_column >= params.n) { continue; }
    var shift = vec4f();
    @if(bias) {
      for (var i = 0u; i < 4u; i++) { shift[i] = bias[min(at_column + i, params.n - 1u)]; }
    }
    for (var r = 0u; r < PER; r++) {
      let at_row = top + 4u * (16u * (r / 4u) + row) + r % 4u;
      if (at_row >= bottom) { continue; }
      let at = start_c + at_row * params.ldc + at_column;
      let x = params.scale * sums[r][j] + shift;
      @if(ragged_c) {
        for (var i = 0u; i < min(4u, params.n - at_column); i++) {
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
}
