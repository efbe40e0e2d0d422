/** Which units stay, by their scores. */
import type { Anatomy } from "../../model/structure/anatomy.ts";
import type { Units } from "../../model/structure/picked.ts";
import { type WidthSpace, withReaders } from "../../model/structure/slice.ts";

/** So many units of a space, at least one: the nearest whole number to its share. */
export const keptCount = (units: number, share: number): number => Math.max(1, Math.round(units * share));

/** The places of the `count` largest scores, rising; of equal ones the first. */
export function largest(scores: ArrayLike<number>, count: number): Int32Array {
  const places = Array.from({ length: scores.length }, (_, i) => i);
  places.sort((a, b) => scores[b]! - scores[a]! || a - b);
  return Int32Array.from(places.slice(0, count).sort((a, b) => a - b));
}

/** The same share of every space, those of the largest scores. */
export function chosenUnits(
  anatomy: Anatomy,
  spaces: readonly WidthSpace[],
  scores: ReadonlyMap<string, Float64Array>,
  shares: Readonly<Record<WidthSpace["kind"], number | undefined>>,
): Units {
  const chosen = new Map<string, Int32Array>();
  for (const { id, kind, units } of spaces) {
    const own = scores.get(id);
    const count = keptCount(units, shares[kind] ?? 1);
    if (own && count < units) chosen.set(id, largest(own, count));
  }
  return withReaders(chosen, anatomy);
}
