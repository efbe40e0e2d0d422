import { method as pcb } from "../../../src/merge/methods/task-vectors/pcb.ts";
import { method as ties } from "../../../src/merge/methods/task-vectors/ties.ts";
import { mergeOne } from "../../merge/merge-arrays.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { normal, randomArray, uniform } from "../support.ts";

const SIZE = 400;
const dot = (a: ArrayLike<number>, x: Float64Array) => x.reduce((sum, value, i) => sum + value * a[i]!, 0);

export const experiment = experimentOf({
  title: "`pcb` on two opposed experts",
  about: `Linear experts whose weights are heavy-tailed and opposed in 30 % of the coordinates; mean accuracy of the two over four draws.
\`pcb\` keeps a tenth of the values, \`ties\` a fifth. Neither beats the plain average here, which the paper reports for large models.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: { pcb: { above: 0.6 }, "pcb − ties": { above: -0.005 }, "pcb − plain average": {} },
  async run(seed) {
    const gpu = await sharedGpu();
    const sums = { pcb: 0, ties: 0, plain: 0 };
    for (let draw = 4 * seed - 3; draw <= 4 * seed; draw++) {
      const next = normal(draw);
      const share = uniform(draw + 9);
      const a = randomArray(SIZE, () => next() ** 3);
      const b = a.map((value, i) => (i < 0.3 * SIZE ? -value * (0.5 + share()) : next() ** 3));
      const inputs = Array.from({ length: 1000 }, () => randomArray(SIZE, next));
      const accuracy = (merged: ArrayLike<number>) =>
        [a, b].reduce((sum, expert) => {
          const right = inputs.filter((x) => Math.sign(dot(merged, x)) === Math.sign(dot(expert, x))).length;
          return sum + right / inputs.length / 2;
        }, 0);
      const tensor = { shape: [SIZE], base: new Float64Array(SIZE), models: [a, b] };
      const trimmed = { perModel: [{ weight: 1, density: 0.2 }], values: { normalize: true } };
      sums.pcb += accuracy(await mergeOne(gpu, pcb, tensor)) / 4;
      sums.ties += accuracy(await mergeOne(gpu, ties, tensor, trimmed)) / 4;
      sums.plain += accuracy(a.map((value, i) => (value + b[i]!) / 2)) / 4;
    }
    return { pcb: sums.pcb, "pcb − ties": sums.pcb - sums.ties, "pcb − plain average": sums.pcb - sums.plain };
  },
});
