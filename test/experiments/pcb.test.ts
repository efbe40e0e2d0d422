/**
 * PCB-Merging of two linear experts whose weights are heavy-tailed and opposed in 30 % of the coordinates.
 *
 * Measured over seeds 1-4, mean accuracy of the two: PCB (a tenth kept) 69.9, 69.9, 65.1, 68.7; TIES (a fifth kept)
 * 70.1, 69.3, 63.7, 68.4; plain average 71.5, 71.3, 66.7, 71.3. With half as many values PCB is ahead of TIES on
 * average, but here neither beats the plain average, which the paper reports for large models; perceptrons tuned on two
 * tasks show the same.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { method as pcb } from "../../src/merge/methods/task-vectors/pcb.ts";
import { method as ties } from "../../src/merge/methods/task-vectors/ties.ts";
import { mergeOne } from "../merge/merge-arrays.ts";
import { normal, randomArray, uniform } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const dot = (a: ArrayLike<number>, x: Float64Array) => x.reduce((sum, value, i) => sum + value * a[i]!, 0);

test("keeps more of two opposed experts with a tenth of the values than TIES with a fifth", async () => {
  const size = 400;
  const sums = { pcb: 0, ties: 0 };
  for (const seed of [1, 2, 3, 4]) {
    const next = normal(seed);
    const share = uniform(seed + 9);
    const a = randomArray(size, () => next() ** 3);
    const b = a.map((value, i) => (i < 0.3 * size ? -value * (0.5 + share()) : next() ** 3));
    const inputs = Array.from({ length: 1000 }, () => randomArray(size, next));
    const accuracy = (merged: ArrayLike<number>) =>
      [a, b].reduce((sum, expert) => {
        const right = inputs.filter((x) => Math.sign(dot(merged, x)) === Math.sign(dot(expert, x))).length;
        return sum + right / inputs.length / 2;
      }, 0);
    const tensor = { shape: [size], base: new Float64Array(size), models: [a, b] };
    const trimmed = { perModel: [{ weight: 1, density: 0.2 }], values: { normalize: true } };
    sums.pcb += accuracy(await mergeOne(gpu, pcb, tensor)) / 4;
    sums.ties += accuracy(await mergeOne(gpu, ties, tensor, trimmed)) / 4;
  }
  expect(sums.pcb).toBeGreaterThan(0.6);
  expect(sums.pcb).toBeGreaterThan(sums.ties - 0.005);
}, 20_000);
