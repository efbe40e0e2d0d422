/** `distill --adversarial`: which rows each teacher answers, and how they are weighed. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type NumbersBatch, stackExamples } from "../../src/data/batch.ts";
import { method as mtard, mtardBalance } from "../../src/distill/methods/mtard.ts";
import { Model } from "../../src/model/model.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { lossOf } from "./objective.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const [INPUT, CLASSES, ROWS] = [5, 4, 3];
const JSON_OF = { model_type: "mlp", input_size: INPUT, hidden_sizes: [6], num_labels: CLASSES };
const VALUES = { inverse_0: 0.8, weight_0: 0.3, inverse_1: 0.6, weight_1: 0.7 };

const made = (seed: number) => Model.fresh(gpu, JSON_OF, `model ${seed}`, { seed });
const points = (seed: number) =>
  Array.from({ length: ROWS }, (_, i) => ({ x: normals(seed + i, INPUT), shape: [INPUT], label: i }));

/** The rows of two lists, of which the second ones are moved ones of the first. */
function beside(plain: NumbersBatch, moved: NumbersBatch): NumbersBatch {
  const joined = stackExamples([...points(1), ...points(1)]);
  return { ...joined, x: Float32Array.from([...plain.x, ...moved.x]), moved: ROWS };
}

test("the first teacher answers rows as they are, the second moved ones, each with the mean over its own", async () => {
  const [student, clean, robust] = await Promise.all([made(1), made(2), made(3)]);
  const [plain, moved] = [stackExamples(points(50)), stackExamples(points(90))];
  const teachers = [liveTeacher(clean, CLASSES), liveTeacher(robust, CLASSES)];
  const run = (batch: NumbersBatch, values: Record<string, number>) =>
    lossOf({ model: student, method: mtard, teachers, values }, batch);
  const both = await run(beside(plain, moved), VALUES);
  // Each teacher alone, on all rows of a batch of its own.
  const first = await run(plain, { ...VALUES, weight_1: 0 });
  const second = await run(moved, { ...VALUES, weight_0: 0 });
  expect(both.metrics.loss_0!).toBeCloseTo(first.metrics.loss_0!, 5);
  expect(both.metrics.loss_1!).toBeCloseTo(second.metrics.loss_1!, 5);
  expect(both.metrics.entropy_0!).toBeCloseTo(first.metrics.entropy_0!, 5);
  expect(both.metrics.entropy_1!).toBeCloseTo(second.metrics.entropy_1!, 5);
  expect(both.metrics.loss!).toBeCloseTo(first.metrics.loss! + second.metrics.loss!, 5);
  for (const [i, gradient] of both.gradients.entries())
    expect(Math.abs(gradient - first.gradients[i]! - second.gradients[i]!)).toBeLessThan(1e-6);
  for (const model of [student, clean, robust]) model.free();
});

test("one teacher twice, and rows that do not move, keep temperatures and weights equal", async () => {
  const [student, teacher] = await Promise.all([made(1), made(2)]);
  const plain = stackExamples(points(50));
  const teachers = [liveTeacher(teacher, CLASSES), liveTeacher(teacher, CLASSES)];
  const balance = mtardBalance({ balance: "both", temperature_rate: 0.01, weight_rate: 0.1 }, 2);
  for (let step = 1; step <= 4; step++) {
    const values = { ...balance.values(step) };
    const { metrics } = await lossOf({ model: student, method: mtard, teachers, values }, beside(plain, plain));
    balance.heard(metrics, step);
    expect(balance.tau).toEqual([1, 1]);
    for (const weight of balance.weights) expect(weight).toBeCloseTo(0.5, 5);
  }
  for (const model of [student, teacher]) model.free();
});
