/** Inputs moved against a classifier: where a linear one's worst inputs are, and what a network's gradient is. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type NumbersBatch, stackExamples } from "../../../src/data/batch.ts";
import type { ExampleInputs } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { Adversary, type Attack } from "../../../src/run/adversarial/adversary.ts";
import { attackOf, checkPgd } from "../../../src/run/adversarial/options.ts";
import { Programs } from "../../../src/run/programs.ts";
import { recordOutputs } from "../../../src/run/scoring/recorded-outputs.ts";
import { Scorer } from "../../../src/run/scoring/scorer.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import type { Recorder } from "../../../src/tensor/recorder.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_EXAMPLES } from "../../support/tiny-models.ts";

covers("adversarial/linf-step", "adversarial/l2-step");

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const ATTACK: Attack = {
  norm: "linf",
  epsilon: 0.5,
  steps: 20,
  stepSize: 0.1,
  randomStart: true,
  range: [-10, 10],
  seed: 3,
};
const names = (batch: NumbersBatch) => Array.from({ length: batch.rows }, (_, i) => `row ${i}`);

/** Two classes of three numbers, told apart by a plane. */
const WEIGHTS = [
  [1, -2, 0.5],
  [-1, 1, 2],
] as const;
async function linear(): Promise<Model> {
  const model = await Model.fresh(gpu, { model_type: "mlp", input_size: 3, hidden_sizes: [], num_labels: 2 }, "plane", {
    seed: 0,
  });
  model.parameters.get("classifier.weight")!.write(Float32Array.from(WEIGHTS.flat()));
  return model;
}
const logitsOf = (model: Model) => (rec: Recorder, inputs: ExampleInputs) =>
  recordOutputs(rec, inputs, model, undefined)(0);
async function moved(model: Model, batch: NumbersBatch, attack: Partial<Attack>): Promise<NumbersBatch> {
  const adversary = new Adversary(gpu, logitsOf(model), { ...ATTACK, ...attack });
  const found = await adversary.move(batch, names(batch));
  adversary.free();
  return found;
}
const point = (x: readonly number[], label: number) => ({ x: Float32Array.from(x), shape: [x.length], label });
const POINTS = stackExamples([point([0.2, -0.1, 3], 0), point([-1, 2, 0.4], 1), point([0, 0, 0], 1)]);
/** From the row's class to the other one. */
const towards = (label: number) => WEIGHTS[0].map((w, i) => (label === 0 ? 1 : -1) * (WEIGHTS[1][i]! - w));

describe("the worst inputs of a plane", () => {
  test("in a box: every number at its end", async () => {
    const model = await linear();
    const { x } = await moved(model, POINTS, {});
    for (let row = 0; row < POINTS.rows; row++)
      for (const [i, g] of towards(POINTS.labels[row]!).entries())
        expect(x[3 * row + i]!).toBeCloseTo(POINTS.x[3 * row + i]! + 0.5 * Math.sign(g), 6);
    model.free();
  });

  test("in a ball: along the normal of the plane", async () => {
    const model = await linear();
    const { x } = await moved(model, POINTS, { norm: "l2", steps: 200, stepSize: 0.2 });
    for (let row = 0; row < POINTS.rows; row++) {
      const way = towards(POINTS.labels[row]!);
      const length = Math.hypot(...way);
      for (const [i, g] of way.entries())
        expect(x[3 * row + i]!).toBeCloseTo(POINTS.x[3 * row + i]! + (0.5 * g) / length, 5);
    }
    model.free();
  });

  test.each(["linf", "l2"] as const)("%s: no farther than the range of the data", async (norm) => {
    const model = await linear();
    const { x } = await moved(model, POINTS, { norm, range: [-1, 3], steps: 30, stepSize: 0.2 });
    for (const value of x) expect(value >= -1 && value <= 3).toBe(true);
    expect(x[2]).toBe(3); // the first row's last number pulls up
    model.free();
  });
});

test("a step is as long as it says, and a start without chance is the input itself", async () => {
  const model = await linear();
  const one = { steps: 1, randomStart: false, stepSize: 0.125 };
  const box = await moved(model, POINTS, one);
  const ball = await moved(model, POINTS, { ...one, norm: "l2" });
  for (let row = 0; row < POINTS.rows; row++) {
    const gaps = ({ x }: NumbersBatch) => [0, 1, 2].map((i) => x[3 * row + i]! - POINTS.x[3 * row + i]!);
    for (const gap of gaps(box)) expect(Math.abs(gap)).toBeCloseTo(0.125, 6);
    expect(Math.hypot(...gaps(ball))).toBeCloseTo(0.125, 6);
  }
  expect((await moved(model, POINTS, { epsilon: 0 })).x).toEqual(POINTS.x);
  model.free();
});

test("a start depends on the row's name and the seed, not on its neighbours", async () => {
  const model = await linear();
  const alone = stackExamples([point([-1, 2, 0.4], 1)]);
  const settings = { ...ATTACK, steps: 1, stepSize: 1e-6 };
  const adversary = new Adversary(gpu, logitsOf(model), settings);
  const all = await adversary.move(POINTS, ["a", "b", "c"]);
  const one = await adversary.move(alone, ["b"]);
  expect([...one.x]).toEqual([...all.x.subarray(3, 6)]);
  expect([...(await adversary.move(alone, ["other"])).x]).not.toEqual([...one.x]);
  adversary.free();
  const other = new Adversary(gpu, logitsOf(model), { ...settings, seed: 4 });
  expect([...(await other.move(alone, ["b"])).x]).not.toEqual([...one.x]);
  other.free();
  model.free();
});

test("a model that says the same of every input leaves them where they begin", async () => {
  const model = await linear();
  model.parameters.get("classifier.weight")!.write(new Float32Array(6));
  for (const norm of ["linf", "l2"] as const)
    expect((await moved(model, POINTS, { norm, randomStart: false })).x).toEqual(POINTS.x);
  model.free();
});

describe.each(Object.entries(TINY_EXAMPLES))("%s", (name, json) => {
  test("the gradient to its inputs is the slope of its loss, and weights take none", async () => {
    const model = await Model.fresh(gpu, json, name, { seed: 1 });
    const shape = model.sizes.example!;
    const size = shape.reduce((a, b) => a * b);
    const at = (i: number) => Math.sin(1.3 * i + 0.2);
    const batch = stackExamples(
      [0, 1].map((row) => ({
        x: Float32Array.from({ length: size }, (_, i) => at(i + size * row)),
        shape,
        label: row,
      })),
    );
    const programs = new Programs(gpu, { toInputs: true });
    const { program } = await programs.get("", (rec) => {
      const x = rec.watched(rec.input("x", [2, ...shape]));
      const targets = rec.input("targets", [2], "i32");
      const nll = crossEntropy(rec, logitsOf(model)(rec, { batch: 2, x }), targets);
      rec.output("nll", nll);
      rec.backward([[nll, rec.constant(Float32Array.of(1, 1), [2], "ones")]]);
      rec.output("gradient", rec.incoming(x)!);
      expect(rec.reached().size).toBe(0);
    });
    program.write("targets", batch.labels);
    const nll = async (x: Float32Array) => {
      program.write("x", x);
      program.run({ seed: 0 });
      return (await program.read("nll")).reduce((a, b) => a + b);
    };
    await nll(batch.x);
    const gradient = await program.read("gradient");
    // Along the gradient itself, where a difference in f32 says the most.
    const length = Math.hypot(...gradient);
    const along = (h: number) => nll(batch.x.map((v, i) => v + (h * gradient[i]!) / length));
    const h = 0.02;
    const slope = ((await along(h)) - (await along(-h))) / (2 * h);
    expect(Math.abs(slope / length - 1)).toBeLessThan(5e-3);
    expect([...model.parameters.values()].some(({ hasGradient }: Parameter) => hasGradient)).toBe(false);
    programs.free();
    model.free();
  });

  test("the loss grows where inputs are moved", async () => {
    const model = await Model.fresh(gpu, json, name, { seed: 1 });
    const shape = model.sizes.example!;
    const size = shape.reduce((a, b) => a * b);
    const rows = [0, 1, 2].map((row) => ({
      x: Float32Array.from({ length: size }, (_, i) => Math.sin(i * (row + 1))),
      shape,
      label: row,
    }));
    const batch = stackExamples(rows);
    const scorer = new Scorer(model);
    const before = (await scorer.score(batch)).nll;
    const after = (await scorer.score(await moved(model, batch, { steps: 5, epsilon: 0.2, stepSize: 0.1 }))).nll;
    for (const [i, loss] of after.entries()) expect(loss).toBeGreaterThan(before[i]!);
    await scorer.free();
    model.free();
  });
});

describe("options", () => {
  const rows = [
    { x: Float32Array.of(0, 0.4), place: "rows.jsonl:1" },
    { x: Float32Array.of(-0.6, 1.4), place: "rows.jsonl:2" },
  ];
  const values = {
    pgd_norm: "linf",
    pgd_epsilon: undefined,
    pgd_steps: 10,
    pgd_step_size: undefined,
    pgd_random_start: true,
    pgd_range: undefined,
  } as const;

  test("the range, the radius and the step follow from the data", () => {
    const { range, epsilon, stepSize } = attackOf(values, rows, 0);
    expect(range[0]).toBeCloseTo(-0.6, 6);
    expect(range[1]).toBeCloseTo(1.4, 6);
    expect(epsilon).toBeCloseTo(0.2, 6);
    expect(stepSize).toBeCloseTo(0.05, 6);
    expect(attackOf({ ...values, pgd_norm: "l2" }, rows, 0).epsilon).toBeCloseTo(1, 6);
    expect(attackOf({ ...values, pgd_range: [-1, 2] }, rows, 0).range).toEqual([-1, 2]);
  });

  test("inputs outside of the range, and ranges that are none, are refused", () => {
    expect(() => attackOf({ ...values, pgd_range: [0, 2] }, rows, 0)).toThrow(
      "rows.jsonl:2: an input of -0.6000000238418579 is outside --pgd-range 0,2",
    );
    for (const pgd_range of [[1], [1, 0], [0, 1, 2]])
      expect(() => checkPgd({ pgd_range })).toThrow("--pgd-range takes the least and the largest value");
  });
});
