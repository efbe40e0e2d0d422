/** Reproducible random data for tests. */

/** An endless stream of 32-bit words: a Weyl sequence through a mixing function. */
export function randomWords(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x632be5ab) | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let word = state;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) >>> 0;
  };
}

/** A stream of numbers evenly spread over [0, 1). */
export function randomUnits(seed: number): () => number {
  const word = randomWords(seed);
  return () => word() / 2 ** 32;
}

/** `count` values of a normal distribution, as f32. */
export function normals(seed: number, count: number, deviation = 1, mean = 0): Float32Array {
  const unit = randomUnits(seed);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - unit()));
    return mean + deviation * radius * Math.cos(2 * Math.PI * unit());
  });
}

/** `count` words with every bit random: as f32 they hold NaN, infinities and subnormal numbers too. */
export function randomPatterns(seed: number, count: number): Uint32Array {
  const word = randomWords(seed);
  return Uint32Array.from({ length: count }, word);
}
