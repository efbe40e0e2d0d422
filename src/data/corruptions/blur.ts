/**
 * Pixels mixed with their neighbours by a Gaussian; severities are those of CIFAR-10-C, whose images are small, too.
 */
import { defineCorruption } from "../corrupting/contract.ts";
import { exp } from "../portable.ts";

/** Weights of neighbours up to three deviations away, which sum to 1. */
function weightsOf(deviation: number): number[] {
  const reach = Math.max(1, Math.ceil(3 * deviation));
  const raw = Array.from({ length: 2 * reach + 1 }, (_, i) => exp(-((i - reach) ** 2) / (2 * deviation ** 2)));
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((weight) => weight / sum);
}

/** Along one axis of (.., length, inner); at the border the last pixel goes on. */
function along(x: readonly number[], length: number, inner: number, weights: readonly number[]): number[] {
  const reach = (weights.length - 1) / 2;
  return x.map((_, i) => {
    const at = Math.floor(i / inner) % length;
    return weights.reduce((sum, weight, k) => {
      const other = Math.min(length - 1, Math.max(0, at + k - reach));
      return sum + weight * x[i + (other - at) * inner]!;
    }, 0);
  });
}

export const method = defineCorruption({
  name: "blur",
  title: "Gaussian blur",
  about: "pixels mixed with their neighbours",
  cite: "arXiv:1903.12261",
  amounts: [0.4, 0.6, 0.7, 0.8, 1],
  image(x, deviation, { shape: [, height, width] }) {
    const weights = weightsOf(deviation);
    return along(along(x, height, width, weights), width, 1, weights);
  },
});
