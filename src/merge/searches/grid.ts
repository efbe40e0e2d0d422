/**
 * Grid search: all combinations of evenly spaced values, both ends of every range among them. The first gene changes
 * slowest.
 */
import { UserError } from "../../errors.ts";
import { defineSearch } from "../../run/searching/contract.ts";
import { type Gene, type GeneValue, type Space, sizeOfGene, valueAt } from "../../run/searching/space.ts";

/** Evenly spaced values of a gene, both ends among them; all of a gene that has no more than `levels`. */
function levelsOf(gene: Gene, levels: number): readonly GeneValue[] {
  if (gene.kind === "choice") return gene.choices;
  const { low, high } = gene;
  const count = Math.min(levels, sizeOfGene(gene));
  if (count === 1) return [gene.default];
  const places = Array.from({ length: count }, (_, i) => i / (count - 1));
  return gene.kind === "real"
    ? places.map((place) => valueAt(gene, place))
    : places.map((place) => low + Math.round(place * (high - low)));
}

const pointsOf = (space: Space, levels: number): number =>
  space.reduce((product, gene) => product * levelsOf(gene, levels).length, 1);

/** The most levels whose grid the budget allows, at least 2 and at most the budget. */
function mostLevels(space: Space, budget: number): number {
  let levels = 2;
  while (levels < budget && pointsOf(space, levels + 1) <= budget) levels++;
  return levels;
}

export const method = defineSearch({
  name: "grid",
  title: "Grid search",
  about: "all combinations of evenly spaced values",
  cite: "common practice",
  objectives: "any",
  independent: true,
  options: {
    levels: {
      type: "number.integer >= 1",
      help: "values of every number, both ends among them; as many as the budget allows when left out",
    },
  },

  make({ space, budget, values: { levels } }) {
    const chosen = levels ?? mostLevels(space, budget);
    const points = pointsOf(space, chosen);
    if (points > budget)
      throw new UserError(
        `a grid of ${chosen} values for each of ${space.length} numbers has ${points} points; --budget is ${budget}`,
        `give --budget ${points}, vary less, or use --search random`,
      );
    const axes = space.map((gene) => levelsOf(gene, chosen));
    let next = 0;
    return {
      ask() {
        if (next === points) return [];
        let rest = next++;
        const values: GeneValue[] = [];
        for (const axis of axes.toReversed()) {
          values.unshift(axis[rest % axis.length]!);
          rest = Math.floor(rest / axis.length);
        }
        return [{ values }];
      },
      tell() {},
    };
  },
});
