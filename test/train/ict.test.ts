/** Consistency training: its levels, its law of intervals, its distance, and its loss against float64. */
import { describe, expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { apart, intervalLaw, levelsAt } from "../../src/run/denoising/consistency.ts";
import { levelGrid } from "../../src/run/denoising/levels.ts";
import { denoised, fixedLevel } from "../../src/run/denoising/noised.ts";
import { Programs } from "../../src/run/programs.ts";
import { stackedBatches } from "../../src/run/training/batch-source.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as ict } from "../../src/train/methods/losses/ict.ts";
import { method as sgd } from "../../src/train/methods/optimizers/sgd.ts";
import { erf } from "../support/erf.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const NOISE = { low: 0.002, high: 80 };
const SHAPE = { model_type: "denoiser", input_size: 2, hidden_size: 8, num_hidden_layers: 1, num_labels: 2 };
const fresh = () => Model.fresh(gpu, SHAPE, "m", { seed: 1 });
const rows = Array.from({ length: 6 }, (_, i) => ({
  ...{ x: normals(i, 2, 0.5), shape: [2], label: i % 2, group: 0, place: `r:${i}` },
}));
const work = (model: Model, more: Record<string, unknown> = {}, steps = 8) =>
  ict.own!({
    ...{ model, values: bindDefaults(ict, more).values, seed: 4, steps, batch: rows.length },
    ...{ softened: {}, places: undefined, recompute: false },
  });

describe("levels", () => {
  test("double in equal stretches of the steps, up to the most", () => {
    const counts = Array.from({ length: 80 }, (_, k) => levelsAt(k, 80, { least: 10, most: 1280 }));
    expect([0, 9, 10, 19, 69, 70, 79].map((k) => counts[k])).toEqual([11, 11, 21, 21, 641, 1281, 1281]);
    expect(levelsAt(5, 10, { least: 7, most: 7 })).toBe(8);
    // More stretches than steps.
    expect([0, 1, 2].map((k) => levelsAt(k, 3, { least: 1, most: 64 }))).toEqual([2, 3, 5]);
  });

  test("are drawn by the normal law of their logarithm", () => {
    const grid = levelGrid(11, NOISE);
    const law = intervalLaw(grid, { mean: -1.1, std: 2 });
    const at = (level: number) => erf((Math.log(level) + 1.1) / (Math.SQRT2 * 2));
    const raw = grid.slice(1).map((level, i) => at(level) - at(grid[i]!));
    const all = raw.reduce((a, b) => a + b);
    for (const [i, value] of law.entries()) expect(value).toBeCloseTo(raw[i]! / all, 5);
  });
});

test("pseudo-Huber is a square over 2 c of small distances and the distance of large ones", async () => {
  const of = async (size: number, metric: "pseudo-huber" | "l2", c?: number) => {
    const inputs = {
      a: { shape: [1, 2], data: Float32Array.of(size, 0) },
      b: { shape: [1, 2], data: new Float32Array(2) },
    };
    const { outputs } = await runOp(gpu, { inputs, build: (rec, { a, b }) => apart(rec, [a!, b!], { metric, c }) });
    return outputs.y![0]!;
  };
  expect(await of(0.01, "pseudo-huber", 1)).toBeCloseTo(0.01 ** 2 / 2, 6);
  expect(await of(100, "pseudo-huber")).toBeCloseTo(100, 2);
  expect(await of(3, "l2")).toBe(9);
});

/** The loss of all rows as one batch at step 1, and what the program was filled with. */
async function lossOf(model: Model, more: Record<string, unknown> = {}) {
  const { objective } = await work(model, more);
  const batch = stackExamples(rows);
  const rec = new Recorder(profileOf(gpu));
  rec.output("loss", objective.record(rec, batch, "").metrics.loss!);
  const program = await Program.compile(gpu, rec);
  const filled = new Map<string, ArrayLike<number>>();
  const write = program.write.bind(program);
  program.write = (name, values) => {
    filled.set(name, values);
    write(name, values);
  };
  objective.begin?.(1);
  objective.fill(program, batch, rows.length, "");
  program.run();
  const loss = (await program.read("loss"))[0]!;
  program.free();
  return { loss, filled };
}

/** What the model says of one row. */
async function said(model: Model, x: ArrayLike<number>, sigma: number, label: number): Promise<Float32Array> {
  const programs = new Programs(gpu);
  const { program } = await programs.get("", (rec) => {
    const noise = fixedLevel(rec, model, sigma, rec.constant(Int32Array.of(label), [1], "class"));
    rec.output("d", denoised(rec, model, { x: rec.constant(Float32Array.from(Array.from(x)), [1, 2], "x"), noise }));
  });
  program.run();
  const d = await program.read("d");
  programs.free();
  return d;
}

test("the loss compares a row under the same noise at two neighbouring levels", async () => {
  const model = await fresh();
  const { loss, filled } = await lossOf(model);
  const of = (name: string) => Array.from(filled.get(name)!);
  const grid = levelGrid(11, NOISE);
  let wanted = 0;
  for (const [row, { x }] of rows.entries()) {
    const sigma = (name: string) => Math.sqrt(1 / of(`${name} into`)[row]! ** 2 - 0.25);
    const nearest = (level: number) => grid.reduce((a, b) => (Math.abs(b - level) < Math.abs(a - level) ? b : a));
    const gap = 1 / (of("weights")[row]! * rows.length);
    const place = grid.findIndex((level, i) => Math.abs((grid[i + 1] ?? 0) - level - gap) < 1e-4 * gap);
    const [low, high] = [grid[place]!, grid[place + 1]!];
    if (low > 0.1) expect([nearest(sigma("below")), nearest(sigma("above"))]).toEqual([low, high]);
    const [below, above] = ["below", "above"].map((name) => of(`${name} rows`).slice(2 * row, 2 * row + 2));
    for (const i of [0, 1]) expect((above![i]! - x[i]!) / high).toBeCloseTo((below![i]! - x[i]!) / low, 2);
    const label = of("classes")[row]!;
    const [a, b] = [await said(model, above!, high, label), await said(model, below!, low, label)];
    const squares = (a[0]! - b[0]!) ** 2 + (a[1]! - b[1]!) ** 2;
    const c = 0.00054 * Math.SQRT2;
    wanted += (Math.sqrt(squares + c * c) - c) / gap / rows.length;
  }
  expect(loss / wanted).toBeCloseTo(1, 3);
  model.free();
});

test("the target takes no gradient; with an average it is the average's, which stays beside the result", async () => {
  const steps = async (count: number, more: Record<string, unknown>) => {
    const model = await fresh();
    const { objective, updates = [] } = await work(model, { ict_first: 20, ict_most: 20, ...more });
    await trainModel({
      ...{ model, objective, updates, steps: count, seed: 1, rate: () => 0.05, optimizer: bindDefaults(sgd) },
      source: stackedBatches(rows, ["rows"], { batchSize: rows.length, seed: 3 }),
      signal: new AbortController().signal,
    });
    const values = await gpu.readFloats(model.parameters.get("input.weight")!.buffer, 16);
    model.free();
    return values;
  };
  const [own, averaged] = [await steps(1, {}), await steps(1, { ict_ema: 0.9 })];
  // In the first step the average is the weights.
  for (const [i, value] of own.entries()) expect(value).toBeCloseTo(averaged[i]!, 6);
  const [later, laterAveraged] = [await steps(4, {}), await steps(4, { ict_ema: 0.9 })];
  expect(Math.max(...later.map((value, i) => Math.abs(value - laterAveraged[i]!)))).toBeGreaterThan(1e-7);
});

test("more intervals at first than at most are refused", () => {
  expect(() =>
    ict.check!(bindDefaults(ict, { ict_first: 8, ict_most: 4 }).values, { outputs: 0, isClassifier: false }),
  ).toThrow("--ict-most 4 is below --ict-first 8");
});
