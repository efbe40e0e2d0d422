/**
 * Rounding to NF4, the 16 quantiles of a normal distribution that bitsandbytes holds weights by: each value to the
 * nearest of them, times the largest magnitude of its block of 64. Dettmers et al. 2023,
 * https://arxiv.org/abs/2305.14314, appendix E.
 */

const BLOCK = 64;

/** From -1 to 1, rising. */
export const NF4 = Float32Array.of(
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453],
  ...[-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0],
  ...[0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224],
  ...[0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
);

/** The nearest of the 16; the larger of two that are as near. */
function nearest(x: number): number {
  let code = 0;
  while (code < 15 && x >= (NF4[code]! + NF4[code + 1]!) / 2) code++;
  return NF4[code]!;
}

/** What a reader finds of values (rows one after the other) that were held in NF4, its scales in f32. */
export function roundedToNf4(values: Float32Array): Float32Array {
  const rounded = new Float32Array(values.length);
  for (let from = 0; from < values.length; from += BLOCK) {
    const block = values.subarray(from, from + BLOCK);
    const most = block.reduce((all, x) => Math.max(all, Math.abs(x)), 0);
    if (most > 0) for (const [i, x] of block.entries()) rounded[from + i] = nearest(Math.fround(x / most)) * most;
  }
  return rounded;
}
