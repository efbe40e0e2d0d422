/** Pools of rows: the easiest part, in the order of an ordinary epoch. */
import { permutation } from "../data/shuffle.ts";

export const PASS = {
  type: "0 < number <= 1",
  default: 0.1,
  help: "most rows of one pass, as a share of all; every pass has a new pool",
} as const;

export const OVER = {
  type: "0 < number <= 1",
  default: 0.5,
  help: "share of the training after which all rows are in the pool",
} as const;

/** Rows by value, the least first, or the `largest`; equal values in the order of the rows, unknown ones (NaN) last. */
export function ranked(values: ArrayLike<number>, first: "least" | "largest" = "least"): Uint32Array {
  const sign = first === "least" ? 1 : -1;
  const at = (row: number) => (Number.isNaN(values[row]!) ? Number.POSITIVE_INFINITY : sign * values[row]!);
  return Uint32Array.from({ length: values.length }, (_, row) => row).sort((a, b) => {
    const [x, y] = [at(a), at(b)];
    return x < y ? -1 : x > y ? 1 : a - b;
  });
}

/**
 * The rows of the pool in the order of the ordinary epoch of this seed and number, at most `most` of them. A pool of
 * all rows is that epoch.
 */
export function shuffledPool(pool: Uint32Array, count: number, seed: number, epoch: number, most = count): Uint32Array {
  const inside = new Uint8Array(count);
  for (const row of pool) inside[row] = 1;
  return permutation(count, seed, epoch)
    .filter((row) => inside[row])
    .subarray(0, Math.max(1, most));
}

/** The first part of ranked rows; at least one row, and at most all. */
export const easiest = (order: Uint32Array, share: number): Uint32Array =>
  order.subarray(0, Math.min(order.length, Math.max(1, Math.floor(share * order.length + 1e-9))));

/** min(1, sqrt(t (1 - c0^2) + c0^2)): the share of the rows that a learner can take at t, from 0 to 1. */
export const competenceAt = (t: number, c0: number): number => Math.min(1, Math.sqrt(t * (1 - c0 * c0) + c0 * c0));
