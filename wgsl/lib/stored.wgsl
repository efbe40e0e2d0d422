// Four neighbouring values of a weight (flag weight_bf16) or of an optimizer's state (state_bf16), stored in f32 or
// bf16 pairs.

import package::lib::bf16::{unpack_bf16, pack_bf16};
import package::lib::random::random_bits;

@if(weight_bf16) alias Weight = vec2u;
@if(!weight_bf16) alias Weight = vec4f;
@if(state_bf16) alias State = vec2u;
@if(!state_bf16) alias State = vec4f;

fn weight_values(w: Weight) -> vec4f {
  @if(weight_bf16) return unpack_bf16(w);
  @if(!weight_bf16) return w;
}

// Rounds a bf16 weight up or down at random, in proportion, so that updates below half a unit are not lost on average;
// with `weight_nearest` to nearest, where they are. An f32 weight is stored as it is. Infinities and NaNs keep their
// kind.
fn stored_weight(x: vec4f, i: u32, key: vec2u) -> Weight {
  @if(!weight_bf16) return x;
  @if(weight_bf16 && weight_nearest) return pack_bf16(x);
  @if(weight_bf16 && !weight_nearest) let u = bitcast<vec4u>(x);
  @if(weight_bf16 && !weight_nearest) let noise = random_bits(vec4u(4u * i, 4u * i + 1u, 4u * i + 2u, 4u * i + 3u), key) >> vec4u(16u);
  @if(weight_bf16 && !weight_nearest) let finite = (u & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
  @if(weight_bf16 && !weight_nearest) let rounded = select(bitcast<vec4u>(x), u + noise, finite) & vec4u(0xffff0000u);
  @if(weight_bf16 && !weight_nearest) return pack_bf16(bitcast<vec4f>(rounded));
}

fn state_values(s: State) -> vec4f {
  @if(state_bf16) return unpack_bf16(s);
  @if(!state_bf16) return s;
}

fn stored_state(x: vec4f) -> State {
  @if(state_bf16) return pack_bf16(x);
  @if(!state_bf16) return x;
}
