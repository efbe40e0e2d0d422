import { mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { withExperts } from "../merge-experts.ts";

const BASE = "--base base.safetensors";
const WEIGHTS = [0.2, 0.3, 0.4, 0.5, 0.7, 1];

export const experiment = experimentOf({
  title: "Three experts on one base: methods side by side",
  about: `Decoders of two layers, each tuned to a language that changes six of the sixteen symbols of the base's; mean over the three tasks
of the accuracy of the next symbol, of which 0.91 can be known. Task arithmetic is at the best of six weights on the test rows themselves,
all others at their defaults.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    "experts, each on its own task": { above: 0.85 },
    base: { below: 0.65 },
    average: { above: 0.58 },
    "task arithmetic at its best": { above: 0.62 },
    ties: {},
    tsv_m: {},
    iso_c: {},
  },
  run: (seed) =>
    withExperts(seed, async (experts) => {
      const own = await Promise.all(experts.models.map(async (model, i) => (await experts.accuracies(model))[i]!));
      let best = 0;
      for (const weight of WEIGHTS)
        best = Math.max(
          best,
          await experts.score(`${BASE} --method task_arithmetic --weight ${weight} --normalize false`),
        );
      return {
        "experts, each on its own task": mean(own),
        base: mean(await experts.accuracies(experts.base)),
        average: await experts.score("--method linear"),
        "task arithmetic at its best": best,
        ties: await experts.score(`${BASE} --method ties`),
        tsv_m: await experts.score(`${BASE} --method tsv_m`),
        iso_c: await experts.score(`${BASE} --method iso_c`),
      };
    }),
});
