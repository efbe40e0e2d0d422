// One head's values of one token, as registers: the flag says how many vectors of four are held (d16 ... d512 values; 8
// without one). Heads of fewer values are `padded`: their last vectors stay zero. Rows are (tokens, heads * D), read by
// fours, or one by one where D is no multiple of four (`ragged`).

@if(!d16 && !d32 && !d64 && !d128 && !d256 && !d320 && !d384 && !d512) const DV = 2u;
@if(d16) const DV = 4u;
@if(d32) const DV = 8u;
@if(d64) const DV = 16u;
@if(d128) const DV = 32u;
@if(d256) const DV = 64u;
@if(d320) const DV = 80u;
@if(d384) const DV = 96u;
@if(d512) const DV = 128u;

// How many vectors to go through. A constant lets the compiler unroll the loops into registers; `rolled` leaves them in
// memory, since unrolling large heads takes a software driver half a minute.
fn parts(d: u32) -> u32 {
  @if(rolled) return (d + 3u) / 4u;
  @if(!rolled) return DV;
}

// What rows are read as.
@if(!ragged) alias Part = vec4f;
@if(ragged) alias Part = f32;

// Vector i of the head of d values that begins at value `start`.
fn part(p: ptr<storage, array<Part>, read>, start: u32, i: u32, d: u32) -> vec4f {
  @if(!ragged && !padded) return p[start / 4u + i];
  @if(!ragged && padded) if (4u * i >= d) { return vec4f(); }
  @if(!ragged && padded) return p[start / 4u + i];
  @if(ragged) let at = start + 4u * i;
  @if(ragged) let n = clamp(i32(d) - i32(4u * i), 0, 4);
  @if(ragged) var r = vec4f();
  @if(ragged) if (n > 0) { r.x = p[at]; }
  @if(ragged) if (n > 1) { r.y = p[at + 1u]; }
  @if(ragged) if (n > 2) { r.z = p[at + 2u]; }
  @if(ragged) if (n > 3) { r.w = p[at + 3u]; }
  @if(ragged) return r;
}

fn put(p: ptr<storage, array<Part>, read_write>, start: u32, i: u32, d: u32, value: vec4f, accumulate: u32) {
  @if(padded || ragged) if (4u * i >= d) { return; }
  @if(!ragged) let at = start / 4u + i;
  @if(!ragged) if (accumulate == 0u) { p[at] = value; } else { p[at] += value; }
  @if(ragged) let at = start + 4u * i;
  @if(ragged) for (var j = 0u; j < min(4u, d - 4u * i); j++) {
    if (accumulate == 0u) { p[at + j] = value[j]; } else { p[at + j] += value[j]; }
  }
}
