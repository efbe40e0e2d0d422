// How much a weight counts when a share of them goes: its magnitude times a factor of its input. As bits of an f32 that
// is not negative, so that their order as unsigned integers is that of the values.

fn importance(weight: f32, factor: f32) -> u32 {
  return bitcast<u32>(abs(weight) * factor) & 0x7fffffffu;
}
