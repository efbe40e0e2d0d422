/**
 * PyTorch's generator of random words on the CPU, and uniform values from it, for files that hold a seed in place of
 * tensors. Everything that is drawn for ingot itself comes from keyed-random.ts.
 *
 * Matsumoto and Nishimura 1998, "Mersenne Twister", https://doi.org/10.1145/272991.272995: mt19937, seeded with one
 * word. PyTorch fills a tensor in order, with one word for each f32 value, of which the low 24 bits count.
 */

const [SIZE, SHIFT] = [624, 397];

/** An endless stream of 32-bit words; of a larger seed the low 32 bits count. */
export function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(SIZE);
  state[0] = seed % 2 ** 32;
  for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i;
  let at = SIZE;
  return () => {
    if (at === SIZE) {
      for (let i = 0; i < SIZE; i++) {
        const joined = (state[i]! & 0x80000000) | (state[(i + 1) % SIZE]! & 0x7fffffff);
        state[i] = state[(i + SHIFT) % SIZE]! ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let word = state[at++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  };
}

/**
 * What `Tensor.uniform_(-bound, bound)` fills a tensor of f32 with. Builds of PyTorch that multiply and add at once may
 * differ by the last bit of a value.
 */
export function uniformFrom(word: () => number, count: number, bound: number): Float32Array {
  const low = Math.fround(-bound);
  const width = Math.fround(Math.fround(bound) - low);
  return Float32Array.from({ length: count }, () => Math.fround(((word() & 0xffffff) / 2 ** 24) * width) + low);
}

/** Kaiming's uniform values of a matrix (rows, columns) for a gain of the root of 2, as PEFT draws projections. */
export const kaimingFrom = (word: () => number, rows: number, columns: number): Float32Array =>
  uniformFrom(word, rows * columns, Math.sqrt(3) * (Math.sqrt(2) / Math.sqrt(columns)));
