// Which entries of a task vector survive, in the form that the variant names:
//   @if(above)        those of larger magnitude bits than low_bits
//   @if(by_top)       those in the top (low)
//   @if(by_rank)      those whose magnitude ranks lie in a range: in the top (low) but not in the top (high)
//   @if(by_chance)    each with probability threshold / 2^24
//   @if(by_mask)      those whose bit is set
// Without any, all of them.

@if(by_rank || by_top) import package::lib::top::in_top;
@if(by_rank || by_top || above) import package::lib::top::magnitude_bits;
@if(by_chance) import package::lib::random::bernoulli;

struct Sparsity {
  weight: f32,       // of the model
  scale: f32,        // survivors are multiplied by it
  low_bits: u32,
  low_index: u32,
  high_bits: u32,
  high_index: u32,
  key_x: u32,
  key_y: u32,
  threshold: u32,
}

fn survivors(d: vec4f, index: vec4u, s: Sparsity, mask: u32) -> vec4<bool> {
  @if(by_rank || by_top || above) let bits = magnitude_bits(d);
  @if(above) return bits > vec4i(i32(s.low_bits));
  @if(by_top) return in_top(bits, index, s.low_bits, s.low_index);
  @if(by_rank) return in_top(bits, index, s.low_bits, s.low_index) & !in_top(bits, index, s.high_bits, s.high_index);
  @if(by_chance) return bernoulli(index, vec2u(s.key_x, s.key_y), s.threshold);
  @if(by_mask) return (vec4u(mask) & vec4u(1u, 2u, 4u, 8u)) != vec4u(0u);
  @if(!above && !by_top && !by_rank && !by_chance && !by_mask) return vec4<bool>(true);
}

// Four mask bits from `at` on, in the low bits: chunks begin anywhere, so they may straddle the word of `at` and the
// next.
fn mask_bits(word: u32, next: u32, at: u32) -> u32 {
  let shift = at % 32u;
  return (word >> shift) | (next << ((32u - shift) % 32u));
}

// Index of the word that holds the last of four bits from `at` on.
fn last_word(at: u32) -> u32 {
  return (at + 3u) / 32u;
}
