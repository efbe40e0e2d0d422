/**
 * Keys of random streams: a function of the seed, the tensor's name and the model's position, never of the order of
 * work.
 */

/** Two words that select a stream of `wgsl/lib/random.wgsl`. */
export function randomKey(seed: number, tensor: string, model: number): [number, number] {
  const hash = BigInt(Bun.hash.xxHash64(`${seed}\0${tensor}\0${model}`));
  return [Number(hash & 0xffffffffn), Number(hash >> 32n)];
}
