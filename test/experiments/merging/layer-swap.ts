import { method as linear } from "../../../src/merge/methods/averages/linear.ts";
import { method as layerSwap } from "../../../src/merge/methods/layers/layer-swap.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { mergeMlp } from "../merge-mlp.ts";
import { clusters, type Example, Mlp } from "../support.ts";

/** Trains some layers of a copy. */
function tune(base: Mlp, data: readonly Example[], layers: readonly number[], steps: number): Mlp {
  const model = base.clone();
  for (let step = 0; step < steps; step++) {
    model.train(data, { steps: 1, lr: 0.1, seed: step });
    for (const [name, values] of base.weights) {
      if (!layers.includes(Number(name.split(".")[1]))) model.weights.set(name, values.slice());
    }
  }
  return model;
}

export const experiment = experimentOf({
  title: "`layer-swap`: the language of one expert, the skill of another",
  about: `A "language" is a permutation of the inputs, learnt in the lower half of a perceptron, a "skill" a relabelling of the outputs,
learnt in the upper half; no model was trained on both. Each expert tunes only the blocks that will be kept: with experts tuned in full
the swap is no better than the average. Accuracy on both at once.`,
  seeds: [1, 2, 3, 4],
  tested: 1,
  figures: { swap: { above: 0.8 }, "swap − average": { above: 0.3 }, "swap − the better expert": { above: 0.3 } },
  async run(seed) {
    const gpu = await sharedGpu();
    const task = clusters(8, 12, seed, 0.7);
    const relabel = [2, 0, 1, 4, 3, 6, 7, 5];
    const language = (data: Example[]) => data.map(({ x, label }) => ({ x: x.map((_, i) => x[(i + 3) % 12]!), label }));
    const skill = (data: Example[]) => data.map(({ x, label }) => ({ x, label: relabel[label]! }));
    const base = Mlp.random([12, 32, 32, 32, 8], seed).train(task(500, 11), { steps: 1500, lr: 0.1, seed });
    const outer = tune(base, language(task(500, 12)), [0, 1], 1500);
    const inner = tune(base, skill(task(500, 13)), [2, 3], 800);
    const both = language(skill(task(1000, 14)));
    const values = { bottom: 2, top: 0, transition: 0 };
    const swapped = await mergeMlp(gpu, layerSwap, base, [inner, outer], { values });
    const average = await mergeMlp(gpu, linear, base, [inner, outer], { perModel: [{ weight: 1 }], withBase: false });
    const swap = swapped.accuracy(both);
    return {
      swap,
      "swap − average": swap - average.accuracy(both),
      "swap − the better expert": swap - Math.max(inner.accuracy(both), outer.accuracy(both)),
    };
  },
});
