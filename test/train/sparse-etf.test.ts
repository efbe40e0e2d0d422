/** A fixed head: its angles, its zeros, its gradient by differences, and what it does to a long-tailed set of rows. */
import { expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import { Model } from "../../src/model/model.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { fixedHeadObjective } from "../../src/train/heads/fixed-head.ts";
import { etfGradient, etfLoss, simplexEtf, sparseEtf } from "../../src/train/heads/sparse-etf.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const GIVEN = { classes: 10, width: 32, sparsity: 0.6, steps: 0, seed: 3 };
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);
const cosine = (a: Float64Array, b: Float64Array) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
const pairs = (rows: readonly Float64Array[]) => rows.flatMap((a, i) => rows.slice(i + 1).map((b) => cosine(a, b)));

test("a frame: rows of length 1, any two at the cosine of -1 / (classes - 1)", () => {
  const rows = simplexEtf(GIVEN);
  for (const row of rows) expect(dot(row, row)).toBeCloseTo(1, 12);
  for (const one of pairs(rows)) expect(one).toBeCloseTo(-1 / 9, 12);
  // As many classes as numbers.
  for (const one of pairs(simplexEtf({ ...GIVEN, classes: 6, width: 6 }))) expect(one).toBeCloseTo(-1 / 5, 10);
});

test("without zeros descent keeps the angles, and draws rows to a length of 0.1", () => {
  const rows = sparseEtf({ ...GIVEN, classes: 5, width: 16, sparsity: 0, steps: 8000 });
  for (const row of rows) expect(Math.hypot(...row)).toBeWithin(0.09, 0.14);
  for (const one of pairs(rows)) expect(Math.acos(one)).toBeCloseTo(Math.acos(-1 / 4), 1);
});

test("as many zeros as asked for, in the same places after descent, which sets classes further apart", () => {
  const [begun, rows] = [sparseEtf(GIVEN), sparseEtf({ ...GIVEN, steps: 4000 })];
  const zeros = (all: readonly Float64Array[]) => all.map((row) => [...row].map((value) => value === 0));
  expect(zeros(begun).flat().filter(Boolean)).toHaveLength(Math.floor(0.6 * 320));
  expect(zeros(rows)).toEqual(zeros(begun));
  const nearest = (all: readonly Float64Array[]) => Math.max(...pairs(all));
  expect(nearest(rows)).toBeLessThan(nearest(begun) - 0.05);
  expect(sparseEtf({ ...GIVEN, steps: 50 })).toEqual(sparseEtf({ ...GIVEN, steps: 50 }));
});

test("the gradient of what descent lowers is its slope", () => {
  const rows = sparseEtf({ ...GIVEN, classes: 5, width: 7, sparsity: 0.3 });
  const gradient = etfGradient(rows);
  for (const [c, row] of rows.entries())
    for (let i = 0; i < row.length; i++) {
      const at = (by: number) => etfLoss(rows.map((one, k) => (k === c ? one.with(i, one[i]! + by) : one)));
      expect(gradient[c]![i]!).toBeCloseTo((at(1e-6) - at(-1e-6)) / 2e-6, 5);
    }
});

test("refuses more classes than numbers, and a class without any", () => {
  expect(() => sparseEtf({ ...GIVEN, classes: 33 })).toThrow("33 classes apart in 32 numbers");
  expect(() => sparseEtf({ ...GIVEN, classes: 4, width: 4, sparsity: 0.99 })).toThrow("leaves class");
});

test("the body follows the fixed head alone, and the own head learns from what it is given", async () => {
  const gpu = await sharedGpu();
  const json = { model_type: "mlp", input_size: 5, hidden_sizes: [8, 6], num_labels: 3 };
  const model = await Model.fresh(gpu, json, "m", { seed: 2 });
  const settings = { sparsity: 0.4, steps: 20, seed: 1, smoothing: 0, zLoss: 0, recompute: false };
  const objective = fixedHeadObjective(model, settings);
  const x = normals(3, 20);
  const batch = stackExamples([0, 1, 2, 1].map((label, i) => ({ x: x.slice(5 * i, 5 * i + 5), shape: [5], label })));
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  const at = async (metric: string) => {
    program.run({ accumulate: 0 });
    return (await program.read(metric))[0]!;
  };
  for (const parameter of model.parameters.values()) {
    const metric = parameter.name.startsWith("classifier") ? "loss" : "fixed_head_loss";
    await at(metric);
    const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const length = Math.hypot(...gradient);
    const moved = async (by: number) => {
      parameter.write(values.map((value, i) => value + (by * gradient[i]!) / length));
      return at(metric);
    };
    const slope = ((await moved(0.01)) - (await moved(-0.01))) / 0.02;
    parameter.write(values);
    expect(Math.abs(slope - length) / length).toBeLessThan(0.02);
  }
  for (const one of [program, model]) one.free();
});
