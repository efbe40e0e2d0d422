/**
 * Rows from every direction in which the weights are pulled, over the whole range of what tells them apart. Maharana et
 * al. 2024 (Adapt-inf), https://arxiv.org/abs/2410.10636
 *
 * Rows are clustered by the direction of their gradients. Each cluster goes by the figure of the largest entropy: loss,
 * entropy of the outputs, EL2N or the gradient's norm, standardised, in 50 bins. The budget is shared out over clusters
 * by water-filling; within one, the lowest and highest 5 % of the figure are left out, the rest is cut into 50 bins of
 * equal width, and each gives an equal share by lot, or all that it has.
 *
 * Here gradients are sketches of those of all that would be trained, and there is no grounding ratio among the figures.
 */
import { Random } from "../../../data/random.ts";
import { defineSelector } from "../../contract.ts";
import { directionClusters } from "../../direction-clusters.ts";
import { waterFilled } from "../../water-filling.ts";

const BINS = 50;
const FIGURES = ["loss", "entropy", "el2n", "norm"] as const;

/** The bin of each value among `BINS` of equal width; all in the first where values are one. */
function binsOf(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return values.map((value) =>
    high > low ? Math.min(BINS - 1, Math.floor((BINS * (value - low)) / (high - low))) : 0,
  );
}

/** Bits of the histogram of values in bins of equal width; 0 of a constant. */
export function histogramBits(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const bin of binsOf(values)) counts.set(bin, (counts.get(bin) ?? 0) + 1);
  return [...counts.values()].reduce(
    (sum, count) => sum - (count / values.length) * Math.log2(count / values.length),
    0,
  );
}

/**
 * `budget` of the rows, spread over the range of their values: without the outermost `trim` at both ends while there
 * are enough others, from bins of equal width in equal shares, by lot.
 */
export function spreadOver(
  rows: readonly number[],
  values: readonly number[],
  { budget, trim, random }: { readonly budget: number; readonly trim: number; readonly random: Random },
): number[] {
  const order = [...rows.keys()].sort((a, b) => values[a]! - values[b]! || a - b);
  const cut = Math.min(Math.floor(trim * order.length), Math.floor(Math.max(0, order.length - budget) / 2));
  const inner = order.slice(cut, order.length - cut);
  const bins = new Map<number, number[]>();
  for (const [at, bin] of binsOf(inner.map((i) => values[i]!)).entries())
    bins.set(bin, [...(bins.get(bin) ?? []), rows[inner[at]!]!]);
  const members = [...bins].sort(([a], [b]) => a - b).map(([, list]) => list);
  const places = waterFilled(
    members.map(({ length }) => length),
    budget,
  );
  return members.flatMap((list, bin) => random.shuffled(list).slice(0, places[bin]!));
}

export const method = defineSelector({
  name: "adapt-inf",
  title: "Adapt-inf",
  about: "rows of every direction of gradients, over the range of the figure that tells most there",
  cite: "arXiv:2410.10636",
  needs: "figures",
  laws: {
    anyRowOrder: "clusters begin at rows that are drawn by their places",
    unknownLast: true,
    nested: "shares of clusters and bins follow the budget",
  },
  options: {
    clusters: {
      type: "0 <= number.integer <= 1000",
      default: 0,
      help: "clusters of gradients; where their spread bends most if 0",
    },
    trim: { type: "0 <= number < 0.5", default: 0.05, help: "share of a cluster that is left out at both ends" },
  },
  trials: [{}, { clusters: 3 }],
  select({ sketches, figures, budget, seed, values: { clusters, trim } }) {
    const known = [...sketches.keys()].filter((row) => sketches[row]!.every(Number.isFinite));
    const groups = directionClusters(
      known.map((row) => sketches[row]!),
      clusters,
      seed,
    ).map((group) => group.map((i) => known[i]!));
    const places = waterFilled(
      groups.map(({ length }) => length),
      budget,
    );
    const chosen = groups.map((group, g) => {
      const by = FIGURES.map((name) => ({ name, list: group.map((row) => figures[row]![name]) }));
      const most = by.reduce((best, one) => (histogramBits(one.list) > histogramBits(best.list) ? one : best));
      const random = new Random(seed, "adapt-inf", g);
      return { by: most.name, rows: spreadOver(group, most.list, { budget: places[g]!, trim, random }) };
    });
    const rest = [...sketches.keys()].filter((row) => !sketches[row]!.every(Number.isFinite));
    return {
      rows: [...chosen.flatMap(({ rows }) => rows), ...rest].slice(0, budget),
      notes: { clusters: chosen.map(({ by, rows }, g) => ({ rows: groups[g]!.length, kept: rows.length, by })) },
    };
  },
});
