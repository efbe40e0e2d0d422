/**
 * CMA-ES: a generation of points around a mean, whose spread follows the directions in which scores improve. Begins at
 * the defaults of the space; the mean of the last generation is tried after the budget.
 *
 * Hansen 2016, https://arxiv.org/abs/1604.00772; for merges Akiba et al. 2024, https://arxiv.org/abs/2403.13187, whose
 * first step size, a sixth of every range, mergekit-evolve has too. Choices and whole numbers are parts of a range.
 */

import { defineSearch } from "../../run/searching/contract.ts";
import { defaults, placesOf, pointAt } from "../../run/searching/space.ts";
import { Cma } from "../search/cma.ts";

export const method = defineSearch({
  name: "cma-es",
  title: "CMA-ES",
  about: "generations around a mean that follow the directions of better scores",
  cite: "arXiv:1604.00772",
  objectives: "one",
  options: {
    population: {
      type: "number.integer >= 4",
      help: "points of a generation; 4 + 3 ln(numbers that vary) when left out",
    },
    sigma: { type: "0 < number <= 1", default: 1 / 6, help: "first step, in parts of every range" },
  },

  make({ space, seed, values: { population, sigma } }) {
    const start = placesOf(space, defaults(space));
    const search = new Cma({ start, sigma, seed, ...(population !== undefined && { population }) });
    const point = (places: readonly number[]) => ({ values: pointAt(space, places) });
    return {
      ask: () => search.ask().map(point),
      tell: (batch) => search.tell(batch.map(({ scores }) => -scores[0]!)),
      last: () => (search.generation === 0 ? undefined : point(search.mean)),
      notes: () => ({ generation: search.generation, spread: search.spread }),
    };
  },
});
