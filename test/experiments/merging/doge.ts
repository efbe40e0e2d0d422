import { method as doge } from "../../../src/merge/methods/task-vectors/doge.ts";
import { method as taskArithmetic } from "../../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { meanAccuracy, mergeMlp } from "../merge-mlp.ts";
import { clusters, Mlp } from "../support.ts";

export const experiment = experimentOf({
  title: "`doge` on four classification tasks",
  about: `Perceptrons tuned on four classes each, merged at eta 0.3, against task arithmetic at the best of five scales; mean accuracy of
the tasks, each among its own classes. At this scale \`doge\` does not beat a tuned task arithmetic, it comes near it.`,
  seeds: [1, 2, 3, 4],
  tested: 1,
  figures: {
    base: {},
    "doge − base": { above: 0.005 },
    "doge − task arithmetic at its best": { above: -0.015 },
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const task = clusters(16, 16, seed, 1);
    const groups = [0, 1, 2, 3].map((g) => [0, 1, 2, 3].map((i) => 4 * g + i));
    const base = Mlp.random([16, 32, 32, 16], seed).train(task(800, 11), { steps: 150, lr: 0.1, seed });
    const models = groups.map((group, k) =>
      base.clone().train(task(400, 21 + k, group), { steps: 400, lr: 0.1, seed, allowed: group }),
    );
    const tests = groups.map((group, k) => task(600, 51 + k, group));
    const score = (model: Mlp) => meanAccuracy(model, tests, groups);
    const merged = score(await mergeMlp(gpu, doge, base, models, { values: { eta: 0.3 } }));
    let best = 0;
    for (const weight of [0.2, 0.3, 0.4, 0.5, 0.7]) {
      const given = { perModel: [{ weight }], values: { normalize: false } };
      best = Math.max(best, score(await mergeMlp(gpu, taskArithmetic, base, models, given)));
    }
    return {
      base: score(base),
      "doge − base": merged - score(base),
      "doge − task arithmetic at its best": merged - best,
    };
  },
});
