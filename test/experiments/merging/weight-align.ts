import { method as weightAlign } from "../../../src/merge/methods/layers/weight-align.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { mergeMlp } from "../merge-mlp.ts";
import { clusters, Mlp } from "../support.ts";

const OLD = [0, 1, 2, 3, 4];
const FRESH = [5, 6, 7, 8, 9];

/** What aligning adds to accuracy on the old classes, and what it takes from the new ones. */
async function align(draw: number): Promise<{ gain: number; loss: number }> {
  const task = clusters(10, 12, draw, 1.1);
  const lesson = { lr: 0.1, seed: draw };
  const first = Mlp.random([12, 32, 10], draw).train(task(500, 11, OLD), { ...lesson, steps: 600, allowed: OLD });
  const mixed = [...task(25, 12, OLD), ...task(1000, 13, FRESH)];
  const second = first.clone().train(mixed, { ...lesson, steps: 400 });
  const values = { old: 5, head: "layers.1.weight" };
  const aligned = await mergeMlp(await sharedGpu(), weightAlign, second, [second], { values, withBase: false });
  const [before, after] = [task(1000, 14, OLD), task(1000, 15, FRESH)];
  return {
    gain: aligned.accuracy(before) - second.accuracy(before),
    loss: second.accuracy(after) - aligned.accuracy(after),
  };
}

export const experiment = experimentOf({
  title: "`weight-align` after a second step of class-incremental training",
  about: `A perceptron that learnt five classes, then five new ones with 5 examples of each old class against 200 of each new one; the
least gain and the largest loss of four draws per seed.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    "old classes, the least gain of accuracy": { above: 0.03 },
    "new classes, the largest loss of accuracy": { below: 0.02 },
  },
  async run(seed) {
    const found: { gain: number; loss: number }[] = [];
    for (let draw = 4 * seed - 3; draw <= 4 * seed; draw++) found.push(await align(draw));
    return {
      "old classes, the least gain of accuracy": Math.min(...found.map(({ gain }) => gain)),
      "new classes, the largest loss of accuracy": Math.max(...found.map(({ loss }) => loss)),
    };
  },
});
