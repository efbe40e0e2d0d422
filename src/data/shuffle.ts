/**
 * The order of rows in an epoch: a permutation that depends on seed, epoch and name alone, so a run can resume
 * anywhere.
 */
import { Random } from "./random.ts";

/** The numbers 0 .. count-1, shuffled (Fisher and Yates). 4 bytes per row. */
export function permutation(count: number, seed: number, epoch: number, name = ""): Uint32Array {
  const order = inOrder(count);
  const random = new Random(seed, "shuffle", name, epoch);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}

/** The numbers 0 .. count-1 as they are. */
export const inOrder = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, i) => i);
