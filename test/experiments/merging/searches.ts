import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { type Experts, withExperts } from "../merge-experts.ts";

const BUDGET = 90;
const ARITHMETIC = "--base base.safetensors --method task_arithmetic --normalize false";
const CYCLE = "--base base.safetensors --method svd_scale";

/** Options of a search for the mean accuracy on the rows to tune on. */
const measured = ({ tasks }: Experts, seed: number): string =>
  [
    `--seed ${seed}`,
    ...tasks.map((task) => `--data ${task}=${task}-tune.jsonl`),
    `--objective ${tasks.map((task) => `accuracy@${task}`).join(",")}`,
  ].join(" ");

/** The accuracy of the merge that a search takes for the best. */
const found = (experts: Experts, seed: number, search: string, merge = ARITHMETIC): Promise<number> =>
  experts.score(`${merge} --search ${search} ${measured(experts, seed)}`);

/** The accuracy of CycleQD's best trial, and of its aggregate. */
async function cycled(experts: Experts, seed: number): Promise<{ best: number; aggregate: number }> {
  const best = await found(experts, seed, `cycleqd --budget ${BUDGET} --trials cycle.jsonl --recipes cycle`, CYCLE);
  const lines = readFileSync(join(experts.lab.folder, "cycle.jsonl"), "utf8").trim().split("\n");
  const { trial, point, extra } = JSON.parse(lines.at(-1)!);
  if (trial !== "last") throw new Error("the search ended without an aggregate");
  const weights = Object.values(point as Record<string, number>).join(",");
  const mutations = extra ? ` --mutations ${extra.mutations}` : "";
  return { best, aggregate: await experts.score(`${CYCLE} --weight ${weights}${mutations}`) };
}

export const experiment = experimentOf({
  title: "Searches for the weights of three experts",
  about: `The experts of the table of methods. Searches see 64 rows of every task and want the mean accuracy of the next symbol; the table has
the accuracy on 96 other rows. ${BUDGET} merges each by random weights, CMA-ES, NSGA-II and CycleQD, 30 by Bayesian optimisation; universal
weights come from the models' probabilities of the tokens. CycleQD's aggregate is the softmax mean of its best model of every task.
The best model of a task is near its expert, so that the aggregate is near the average; the best single model of the archives is not.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    average: {},
    random: { above: 0.6 },
    "cma-es": { above: 0.6 },
    "bo, 30 merges": {},
    nsga: {},
    cycleqd: { above: 0.6 },
    "aggregate of cycleqd": {},
    universal: {},
  },
  run: (seed) =>
    withExperts(seed, async (experts) => {
      const cycle = await cycled(experts, seed);
      return {
        average: mean(await experts.accuracies(await experts.merge("--method linear"))),
        random: await found(experts, seed, `random --budget ${BUDGET}`),
        "cma-es": await found(experts, seed, `cma-es --budget ${BUDGET}`),
        "bo, 30 merges": await found(experts, seed, "bo --budget 30"),
        nsga: await found(experts, seed, `nsga --budget ${BUDGET}`),
        cycleqd: cycle.best,
        "aggregate of cycleqd": cycle.aggregate,
        universal: await found(experts, seed, "universal --budget 1"),
      };
    }),
});
