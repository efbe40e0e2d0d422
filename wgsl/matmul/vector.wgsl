// Matrix product C = scale A op(B) + bias + addend for a few rows of A (decoding one token after the other): B is read
// once.
//
//   a       (m, k)                          f32, or bf16 under a_bf16; m at most 8
//   b       (k, n), or (n, k) under nt      f32, or bf16 under b_bf16, or rows of codes under b_codes
//   table   what rows of codes share        under b_levels or b_indexed (wgsl/lib/packed.wgsl)
//   bias    (n)                             f32, under bias
//   addend  (m, n)                          f32, under add; rows as in c
//   c       (m, n)  f32  out; added to when accumulate is 1
//
// Strides and batches are as in wgsl/matmul/subgroup.wgsl, ragged_a and ragged_b too; c is written one value at a time.
//
// A lane makes partial sums of QUADS times four columns and all rows over its share of k. Of the LANES of a workgroup,
// ACROSS lie side by side over the columns and the others share k, so that neighbours read neighbouring addresses:
// ACROSS is 1 under nt. The shares are added in order. ROWS is m. More QUADS read A less often and, under nn, longer
// parts of each row of B. Checked against f64 in test/tensor/linear-algebra/products.test.ts.

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

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@if(b_levels || b_indexed) @group(0) @binding(3) var<storage, read> table: array<u32>;
@if(bias) @group(0) @binding(4) var<storage, read> bias: array<f32>;
@if(add) @group(0) @binding(5) var<storage, read> addend: array<f32>;
@group(0) @binding(6) var<storage, read_write> c: array<f32>;

override LANES: u32 = 64;
override ACROSS: u32 = 1;
override ROWS: u32 = 8;
override QUADS: u32 = 1; // ROWS times QUADS is at most 16

var<workgroup> shares: array<vec4f, LANES * ROWS * QUADS>; // (ROWS, QUADS, LANES)

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

// Four columns of B, k ... k + 3, as one vector of columns per k.
fn block_b(start: u32, at: u32, k: u32) -> mat4x4f {
  @if(nt) {
    let y = start + min(vec4u(at) + vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u)) * params.ldb;
    return transpose(mat4x4f(
      four_b(y[0], k, params.k),
      four_b(y[1], k, params.k),
      four_b(y[2], k, params.k),
      four_b(y[3], k, params.k),
    ));
  }
  @if(!nt) {
    let column = min(at, (params.n - 1u) / 4u * 4u);
    let y = start + min(vec4u(k) + vec4u(0u, 1u, 2u, 3u), vec4u(params.k - 1u)) * params.ldb;
    return mat4x4f(
      four_b(y[0], column, params.n),
      four_b(y[1], column, params.n),
      four_b(y[2], column, params.n),
      four_b(y[3], column, params.n),
    );
  }
}

@compute @workgroup_size(LANES)
fn vector(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start_a = params.start_a + group.z * params.stride_a;
  let start_b = params.start_b + group.z * params.stride_b;
  let start_c = params.start_c + group.z * params.stride_c;
  let left = 4u * group.x * ACROSS * QUADS;
  let slices = LANES / ACROSS;
  var sums: array<vec4f, 16>;
  for (var k = 4u * (lane / ACROSS); k < params.k; k += 4u * slices) {
    var rows: array<vec4f, 8>;
    for (var r = 0u; r < ROWS; r++) {
      rows[r] = four_a(start_a + r * params.lda, k, params.k);
      @if(tail) rows[r] = select(vec4f(), rows[r], vec4u(k) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.k));
    }
    for (var q = 0u; q < QUADS; q++) {
      var columns = block_b(start_b, left + 4u * (q * ACROSS + lane % ACROSS), k);
      @if(tail) for (var i = 1u; i < 4u; i++) { columns[i] = select(vec4f(), columns[i], k + i < params.k); }
      for (var r = 0u; r < ROWS; r++) {
        let x = rows[r];
        let at = r * QUADS + q;
        sums[at] = fma(vec4f(x.w), columns[3], fma(vec4f(x.z), columns[2], fma(vec4f(x.y), columns[1], fma(vec4f(x.x), columns[0], sums[at]))));
      }
    }
  }
  for (var i = 0u; i < ROWS * QUADS; i++) { shares[i * LANES + lane] = sums[i]; }
  workgroupBarrier();
  for (var made = lane; made < ROWS * QUADS * ACROSS; made += LANES) {
    let r = made / (QUADS * ACROSS);
    let quad = made % (QUADS * ACROSS);
    var sum = vec4f();
    for (var slice = 0u; slice < slices; slice++) {
      sum += shares[(made / ACROSS) * LANES + slice * ACROSS + made % ACROSS];
    }
    let column = left + 4u * quad;
    for (var i = 0u; column + i < params.n && i < 4u; i++) {
      let at = start_c + r * params.ldc + column + i;
      var value = params.scale * sum[i];
      @if(bias) value += bias[column + i];
      @if(add) value += addend[at];
      if (params.accumulate == 1u) { value += c[at]; }
      c[at] = value;
    }
  }
}
