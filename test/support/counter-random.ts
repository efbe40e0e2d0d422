/** The random words of wgsl/lib/random.wgsl, computed in exact integer arithmetic from its description. */

const wrap = (x: bigint): bigint => x & 0xffffffffn;

/** The word at an index of the stream that a key selects. */
export function randomWordAt(index: number, key: readonly [number, number]): number {
  let h = wrap(BigInt(index) ^ BigInt(key[0]));
  h = wrap((h ^ (h >> 17n)) * 0xed5ad4bbn);
  h = wrap((h ^ (h >> 11n)) + BigInt(key[1]));
  h = wrap(h * 0xac4c1b51n);
  h = wrap((h ^ (h >> 15n)) * 0x31848babn);
  return Number(h ^ (h >> 14n));
}

/** Whether an entry survives with probability threshold / 2^24. */
export const survivesByChance = (index: number, key: readonly [number, number], threshold: number): boolean =>
  randomWordAt(index, key) >>> 8 < threshold;
