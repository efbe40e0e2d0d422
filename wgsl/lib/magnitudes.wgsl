// Bits of the magnitudes that a selection ranks: of a task vector in a stack (@if(delta)), or of plain f32 values.

import package::lib::top::magnitude_bits;
@if(delta) import package::lib::operand::{Operand, load};
@if(delta) import package::lib::rounding::rounded;

@if(delta) fn ranked(x: Operand, origin: Operand) -> vec4i {
  return magnitude_bits(rounded(load(x) - load(origin)));
}

@if(!delta) fn ranked(x: vec4f, origin: vec4f) -> vec4i {
  return magnitude_bits(x);
}
