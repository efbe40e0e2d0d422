/** Values as counts of few photons: Poisson noise. Hendrycks and Dietterich, ICLR 2019 */
import { defineCorruption } from "../corrupting/contract.ts";
import { exp } from "../portable.ts";
import type { Random } from "../random.ts";

/** A Poisson count of a small mean, by products of uniform numbers. Knuth, The Art of Computer Programming 3.4.1 */
function poisson(mean: number, random: Random): number {
  const end = exp(-mean);
  let count = 0;
  for (let product = random.uniform(); product > end; product *= random.uniform()) count++;
  return count;
}

export const method = defineCorruption({
  name: "shot-noise",
  title: "Shot noise",
  about: "values as counts of few photons",
  cite: "arXiv:1903.12261",
  amounts: [60, 25, 12, 5, 3],
  numbers: (x, photons, random) =>
    x.map((value) => poisson(photons * Math.min(1, Math.max(0, value)), random) / photons),
});
