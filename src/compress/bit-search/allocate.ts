/**
 * Bits for every matrix such that the sum of their costs is least under a budget: of each the convex hull of its costs
 * over sizes, and the steps along the hulls in the order of what a unit of size saves. It is the best there is at every
 * budget at which a step ends; what is left over goes to the steps that still fit.
 */
import { UserError } from "../../errors.ts";

/** What a matrix may become. */
export interface Choice {
  readonly bits: number;
  readonly size: number;
  readonly cost: number;
}

export interface Item {
  readonly name: string;
  /** One at least. */
  readonly choices: readonly Choice[];
}

interface Step {
  readonly item: number;
  readonly from: Choice;
  readonly to: Choice;
  /** Cost that a unit of size saves. */
  readonly gain: number;
}

/** Choices that are the best for some price of size, from the smallest on. */
export function hullOf(choices: readonly Choice[]): Choice[] {
  const sorted = choices.toSorted((a, b) => a.size - b.size || a.cost - b.cost);
  const hull: Choice[] = [];
  const slope = (a: Choice, b: Choice) => (a.cost - b.cost) / (b.size - a.size);
  for (const choice of sorted) {
    const last = hull.at(-1);
    if (last && !(choice.cost < last.cost)) continue; // larger, and no better
    while (hull.length > 1 && slope(hull.at(-2)!, hull.at(-1)!) <= slope(hull.at(-1)!, choice)) hull.pop();
    hull.push(choice);
  }
  return hull;
}

/** The choice of each item. Throws UserError where even the smallest do not fit. */
export function allocate(items: readonly Item[], budget: number, tell: (size: number) => string): Choice[] {
  const hulls = items.map(({ choices }) => hullOf(choices));
  const chosen = hulls.map((hull) => hull[0]!);
  const sizeOf = (choices: readonly Choice[]) => choices.reduce((sum, { size }) => sum + size, 0);
  let left = budget - sizeOf(chosen);
  if (left < 0)
    throw new UserError(
      `the budget is ${tell(budget)}, and the fewest bits take ${tell(budget - left)}`,
      "give a larger --budget, or fewer bits with --bits",
    );
  const steps = hulls.flatMap((hull, item): Step[] =>
    hull.slice(1).map((to, i) => {
      const from = hull[i]!;
      return { item, from, to, gain: (from.cost - to.cost) / (to.size - from.size) };
    }),
  );
  // Steps of one hull fall in gain, so that they come in their own order.
  for (const { item, from, to } of steps.toSorted((a, b) => b.gain - a.gain || a.item - b.item)) {
    const grown = to.size - from.size;
    if (chosen[item] !== from || grown > left) continue;
    chosen[item] = to;
    left -= grown;
  }
  return chosen;
}
