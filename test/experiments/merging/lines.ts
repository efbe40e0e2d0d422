import { method as lines } from "../../../src/merge/methods/layers/lines.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { mergeMlp } from "../merge-mlp.ts";
import { clusters, Mlp } from "../support.ts";

const HALF = [0, 1, 2, 3, 4, 5];
const OTHER = [6, 7, 8, 9, 10, 11];

export const experiment = experimentOf({
  title: "`lines` on one fine-tune",
  about: `A perceptron of twelve classes, tuned on six of them; accuracy on either half, at alpha 0.2. The paper has the tuned half fall
by less than a point.`,
  seeds: [1, 2, 3, 4],
  tested: 1,
  figures: {
    "lines − tuned, the forgotten half": { above: 0.1 },
    "lines − tuned, the tuned half": { above: -0.03 },
    "lines − base, the tuned half": { above: 0.03 },
  },
  async run(seed) {
    const task = clusters(12, 12, seed, 1);
    const base = Mlp.random([12, 32, 32, 32, 12], seed).train(task(600, 11), { steps: 1500, lr: 0.1, seed });
    const tuned = base.clone().train(task(300, 21, HALF), { steps: 300, lr: 0.1, seed });
    const scaled = await mergeMlp(await sharedGpu(), lines, base, [tuned], { values: { alpha: 0.2 } });
    const [target, control] = [task(1000, 31, HALF), task(1000, 32, OTHER)];
    return {
      "lines − tuned, the forgotten half": scaled.accuracy(control) - tuned.accuracy(control),
      "lines − tuned, the tuned half": scaled.accuracy(target) - tuned.accuracy(target),
      "lines − base, the tuned half": scaled.accuracy(target) - base.accuracy(target),
    };
  },
});
