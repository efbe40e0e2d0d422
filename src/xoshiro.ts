/**
 * xoshiro128**, the generator of everything that is drawn on the host. Blackman and Vigna 2021,
 * https://doi.org/10.1145/3460772.
 */

const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

/**
 * An endless stream of 32-bit words. `state`: four words, not all 0; it is changed.
 *
 *   const word = xoshiro(Uint32Array.of(1, 2, 3, 4));
 *   word(); // 11520
 */
export function xoshiro(state: Uint32Array): () => number {
  const s = state;
  return () => {
    const word = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = rotate(s[3]!, 11);
    return word;
  };
}
