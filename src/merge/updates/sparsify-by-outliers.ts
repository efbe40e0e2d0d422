/**
 * The sparsifier of Model Breadcrumbs: drop the largest values of a task vector and the smallest, keep those between.
 *
 * Davari and Belilovsky, ECCV 2024, https://arxiv.org/abs/2312.06795; counts as mergekit takes them.
 */
import type { OptionSpec } from "../../method/options.ts";
import { NONE, taskVector } from "../selection/ranked.ts";
import { topCuts } from "../selection/top-k-selection.ts";
import { densityOption, everything, sparsifier } from "./sparsify.ts";

const options = {
  ...densityOption,
  gamma: {
    type: "0 <= number <= 1",
    per: "model",
    default: 0.01,
    help: "fraction of each task vector dropped at the top",
  },
} as const satisfies Record<string, OptionSpec>;

/** How many of `size` values to drop at either end; the top gives way where both do not fit. */
export function outlierCounts(size: number, density: number, gamma: number): { bottom: number; top: number } {
  const target = Math.floor(density * size);
  const top = Math.floor(gamma * size);
  const bottom = size - target - top;
  return bottom < 0 ? { bottom: 0, top: top + bottom } : { bottom, top };
}

/**
 * Keeps floor(density n) values: those that follow the floor(gamma n) largest. Of equal magnitudes the lower index
 * ranks higher. mergekit drops the whole task vector where floor(gamma n) is 0 (norms and biases of fewer than 1 /
 * gamma values); that is reproduced under `compatBugs` only. Two selections per model.
 */
export const outliers = sparsifier({
  options,
  trials: [{}, { density: 0.5 }],
  passes: "many",
  async find(inputs) {
    const { density, gamma } = inputs.values;
    if (density.every((share) => share >= 1)) return everything(inputs);
    const counts = density.map((share, k) =>
      share >= 1 ? { bottom: 0, top: 0 } : outlierCounts(inputs.size, share, gamma[k]!),
    );
    const wanted = counts.flatMap(({ bottom, top }, k) => {
      const ranked = taskVector(inputs, k);
      return [
        { ranked, top: inputs.size - bottom },
        { ranked, top },
      ];
    });
    const cuts = await topCuts(inputs, wanted);
    const models = counts.map(({ top }, k) => ({
      low: cuts[2 * k] ?? NONE,
      high: cuts[2 * k + 1] ?? NONE,
      empty: inputs.settings.compatBugs && top === 0 && density[k]! < 1,
    }));
    return { flag: "by_rank", models };
  },
});
