import { mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { withExperts } from "../merge-experts.ts";

const BASE = "--base base.safetensors";
const TUNED = `${BASE} --tune-data one-tune.jsonl --tune-data two-tune.jsonl --tune-data three-tune.jsonl --tune-steps 30`;
const WEIGHTS = [0.2, 0.3, 0.4, 0.5, 0.7, 1];

export const experiment = experimentOf({
  title: "Three experts on one base: methods side by side",
  about: `Decoders of two layers, each tuned to a language that changes six of the sixteen symbols of the base's; mean over the three tasks
of the accuracy of the next symbol, of which 0.91 can be known. Task arithmetic is at the best of six weights on the test rows themselves,
methods without data at their defaults. regmean, adamerging and self_position see 64 rows of each task. adamerging's entropy (rate 0.015) is
low for the base as well, which is as sure of its own language as the experts are of theirs, so it does not lead to them; with the experts as
teachers (\`--loss kd\`, rate 0.03) it passes every single weight. self_position follows the tasks' next symbols (rate 0.1).`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "experts, each on its own task": { above: 0.85 },
    base: { below: 0.65 },
    average: { above: 0.58 },
    "task arithmetic at its best": { above: 0.62 },
    ties: {},
    tsv_m: {},
    iso_c: {},
    wudi: {},
    regmean: { above: 0.62 },
    "adamerging, entropy": {},
    "adamerging, kd": {},
    self_position: {},
    "adamerging, kd − task arithmetic at its best": { above: 0.01 },
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
      for (const [i, task] of experts.tasks.entries())
        await experts.run(
          "evaluate",
          `gram ${experts.models[i]} --data ${task}-tune.jsonl -o ${task}.gram.safetensors`,
        );
      const stats = experts.tasks.map((task) => `${task}.gram.safetensors`).join(",");
      const kd = await experts.score(`${TUNED} --method adamerging --loss kd --tune-rate 0.03`);
      return {
        "experts, each on its own task": mean(own),
        base: mean(await experts.accuracies(experts.base)),
        average: await experts.score("--method linear"),
        "task arithmetic at its best": best,
        ties: await experts.score(`${BASE} --method ties`),
        tsv_m: await experts.score(`${BASE} --method tsv_m`),
        iso_c: await experts.score(`${BASE} --method iso_c`),
        wudi: await experts.score(`${BASE} --method wudi`),
        regmean: await experts.score(`--method regmean --stats ${stats}`),
        "adamerging, entropy": await experts.score(`${TUNED} --method adamerging --tune-rate 0.015`),
        "adamerging, kd": kd,
        self_position: await experts.score(`${TUNED} --method self_position --tune-rate 0.1`),
        "adamerging, kd − task arithmetic at its best": kd - best,
      };
    }),
});
