/** The first units of every space, and the first blocks: what a model that is trained to be cut keeps. */
import type { Anatomy } from "./anatomy.ts";
import { type Kept, widthSpaces, withReaders } from "./slice.ts";

/** The least whole number that is no less than a share of `units`; what rounding adds to a product does not count. */
export const firstCount = (units: number, share: number): number => Math.max(1, Math.ceil(units * share - 1e-9));

/** The first of the heads and hidden units by a share, and the first `depth` blocks, all where it is left out. */
export function firstUnits(anatomy: Anatomy, share: number, depth?: number): Kept {
  const units = new Map<string, Int32Array>();
  for (const { id, units: count } of widthSpaces(anatomy)) {
    const own = firstCount(count, share);
    if (own < count)
      units.set(
        id,
        Int32Array.from({ length: own }, (_, i) => i),
      );
  }
  const layers = depth === undefined ? undefined : Array.from({ length: depth }, (_, i) => i);
  return { units: withReaders(units, anatomy), layers };
}
