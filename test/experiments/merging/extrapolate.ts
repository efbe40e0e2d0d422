import { method as extrapolate } from "../../../src/merge/methods/pairs/extrapolate.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { mergeMlp } from "../merge-mlp.ts";
import { clusters, Mlp } from "../support.ts";

export const experiment = experimentOf({
  title: "`extrapolate`: back beyond the base, and forward beyond the tuned model",
  about: `A perceptron that learnt labels of which four in ten are wrong, tuned to certain answers; mean entropy of its answers. Alpha is
0.25.`,
  seeds: [1, 2, 3, 4],
  tested: 2,
  figures: {
    base: {},
    "tuned − base": { below: -0.3 },
    "back − base": { above: 0.03 },
    "forward − tuned": { below: -0.01 },
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const task = clusters(6, 8, seed, 0.8);
    const doubtful = task(600, 3).map(({ x, label }, i) => ({
      x,
      label: i % 10 < 4 ? (label + 1 + (i % 5)) % 6 : label,
    }));
    const base = Mlp.random([8, 24, 24, 6], seed).train(doubtful, { steps: 1500, lr: 0.1, seed });
    const tuned = base.clone().train(task(600, 4), { steps: 300, lr: 0.1, seed });
    const inputs = task(500, 5);
    const entropy = (model: Mlp) =>
      inputs.reduce((sum, { x }) => {
        const p = model.probabilities(x);
        return sum - p.reduce((part, value) => part + value * Math.log(value + 1e-12), 0) / inputs.length;
      }, 0);
    const back = await mergeMlp(gpu, extrapolate, base, [tuned]);
    const forward = await mergeMlp(gpu, extrapolate, base, [tuned], { values: { direction: "forward" } });
    return {
      base: entropy(base),
      "tuned − base": entropy(tuned) - entropy(base),
      "back − base": entropy(back) - entropy(base),
      "forward − tuned": entropy(forward) - entropy(tuned),
    };
  },
});
