// Four neighbouring values of a row of a matrix of codes, as src/tensor/packed.ts lays it out.
//
// A row is a record of words from `row` on: codes of 4 bits (b_four) or 8, the lowest first, four of them in one word;
// from `scales` on the scales of its groups, f32, or two to a word under b_scale_bf16 or b_scale_f16; from `beside` on
// zeros, four to a word, under b_zeros, or offsets, as the scales, under b_offsets. `table` holds f32 levels under
// b_levels, and from `index` on the group of every column under b_indexed; else a group is 2^shift columns.
//
//   integers      scale * (code - zero), `zero` of all where rows have none
//   b_offsets     code * scale + offset
//   b_levels      scale * level
//
// Each operation rounds to f32 as src/checkpoint/quantized/matrix.ts has it.

struct Packed {
  scales: u32,
  beside: u32,
  shift: u32,
  index: u32,
  zero: f32,
}

fn packed_codes(b: ptr<storage, array<u32>, read>, row: u32, at: u32) -> vec4u {
  @if(b_four) return (vec4u((*b)[row + at / 8u] >> ((at & 4u) * 4u)) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
  @if(!b_four) return (vec4u((*b)[row + at / 4u]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
}

fn packed_factor(b: ptr<storage, array<u32>, read>, first: u32, group: u32) -> f32 {
  @if(b_scale_bf16) {
    let pair = (*b)[first + group / 2u];
    return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, (group & 1u) == 1u));
  }
  @if(b_scale_f16) return unpack2x16float((*b)[first + group / 2u] >> (16u * (group & 1u))).x;
  @if(!b_scale_bf16 && !b_scale_f16) return bitcast<f32>((*b)[first + group]);
}

fn packed_zero(b: ptr<storage, array<u32>, read>, first: u32, group: u32) -> f32 {
  return f32(((*b)[first + group / 4u] >> (8u * (group & 3u))) & 255u);
}

// Numbers of one column, or of four of one group.
fn packed_value(b: ptr<storage, array<u32>, read>, row: u32, group: u32, x: vec4f, p: Packed) -> vec4f {
  let scale = packed_factor(b, row + p.scales, group);
  @if(b_levels) return x * scale;
  @if(b_offsets) return x * scale + packed_factor(b, row + p.beside, group);
  @if(b_zeros) return (x - packed_zero(b, row + p.beside, group)) * scale;
  @if(!b_levels && !b_offsets && !b_zeros) return (x - p.zero) * scale;
}

@if(b_levels || b_indexed)
fn packed_four_by(
  b: ptr<storage, array<u32>, read>,
  table: ptr<storage, array<u32>, read>,
  row: u32,
  at: u32,
  p: Packed,
) -> vec4f {
  let q = packed_codes(b, row, at);
  @if(b_levels) let x = bitcast<vec4f>(vec4u((*table)[q.x], (*table)[q.y], (*table)[q.z], (*table)[q.w]));
  @if(!b_levels) let x = vec4f(q);
  @if(!b_indexed) return packed_value(b, row, at >> p.shift, x, p);
  @if(b_indexed) {
    let i = p.index + at;
    return vec4f(
      packed_value(b, row, (*table)[i], x, p).x,
      packed_value(b, row, (*table)[i + 1u], x, p).y,
      packed_value(b, row, (*table)[i + 2u], x, p).z,
      packed_value(b, row, (*table)[i + 3u], x, p).w,
    );
  }
}

@if(!b_levels && !b_indexed)
fn packed_four(b: ptr<storage, array<u32>, read>, row: u32, at: u32, p: Packed) -> vec4f {
  return packed_value(b, row, at >> p.shift, vec4f(packed_codes(b, row, at)), p);
}
