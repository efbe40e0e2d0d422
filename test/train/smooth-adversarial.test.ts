/** The smooth adversarial loss against float64, and what moves its rows; weights of labels that come later. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NumbersBatch, stackExamples } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { ExampleInputs } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { adversarialBatches } from "../../src/run/adversarial/adversarial-batches.ts";
import { Adversary } from "../../src/run/adversarial/adversary.ts";
import { recordOutputs } from "../../src/run/scoring/recorded-outputs.ts";
import { numberBatches } from "../../src/run/training/batch-source.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { marginMoves, smoothObjective } from "../../src/train/losses/smooth-adversarial.ts";
import { method as compsum } from "../../src/train/methods/losses/compsum.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { finiteDifference } from "../support/program.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const [INPUT, CLASSES, ROWS] = [5, 4, 3] as const;
const [TAU, RHO, NU] = [1.6, 0.7, 1.3];

/** A linear classifier of random weights. */
async function linear(): Promise<Model> {
  const json = { model_type: "mlp", input_size: INPUT, hidden_sizes: [], num_labels: CLASSES };
  return Model.fresh(gpu, json, "linear", { seed: 2 });
}
const logitsOf = (model: Model) => (rec: Recorder, inputs: ExampleInputs) =>
  recordOutputs(rec, inputs, model, undefined)(0);
const points = Array.from({ length: ROWS }, (_, i) => ({
  x: normals(40 + i, INPUT),
  shape: [INPUT],
  label: i,
  group: 0,
  place: `row ${i}`,
}));

/** Loss of weights (classes, input) on rows as they are and moved. */
function reference(w: ArrayLike<number>, x: Float32Array, moved: Float32Array): number {
  const logits = (rows: Float32Array, i: number) =>
    Array.from({ length: CLASSES }, (_, k) =>
      Array.from({ length: INPUT }, (_, j) => w[k * INPUT + j]! * rows[i * INPUT + j]!).reduce((a, b) => a + b, 0),
    );
  let loss = 0;
  for (const [i, { label }] of points.entries()) {
    const [plain, apart] = [logits(x, i), logits(moved, i)];
    const gaps = (z: readonly number[]) => z.map((v) => z[label]! - v);
    const u = gaps(plain).reduce((sum, gap, k) => sum + (k === label ? 0 : Math.exp(-gap / RHO)), 0);
    loss += ((1 + u) ** (1 - TAU) - 1) / (1 - TAU);
    loss += NU * Math.hypot(...gaps(apart).map((gap, k) => gap - gaps(plain)[k]!));
  }
  return loss / ROWS;
}

test("the loss and its gradient are those of float64", async () => {
  const model = await linear();
  const moves = normals(9, ROWS * INPUT, 0.2);
  const plain = stackExamples(points);
  const x = new Float32Array(2 * ROWS * INPUT);
  x.set(plain.x);
  x.set(
    plain.x.map((v, i) => v + moves[i]!),
    plain.x.length,
  );
  const twice = <T>(list: Iterable<T>): T[] => [...list, ...list];
  const batch: NumbersBatch = {
    ...plain,
    rows: 2 * ROWS,
    counted: 2 * ROWS,
    labels: Int32Array.from(twice(plain.labels)),
    tasks: Int32Array.from(twice(plain.tasks)),
    x,
    moved: ROWS,
  };
  const loss = { loss: bindDefaults(compsum, { compsum_tau: TAU }), counts: [], softened: {} };
  const objective = smoothObjective(model, { loss, weight: NU, rho: RHO });
  expect(objective.counted(batch, "")).toBe(ROWS);
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, ROWS, "");
  program.run({ accumulate: 0, seed: 0 });
  const weight = model.parameters.get("classifier.weight")!;
  const w = Float64Array.from(await gpu.readFloats(weight.buffer, weight.size));
  const [own, moved] = [x.subarray(0, ROWS * INPUT), x.subarray(ROWS * INPUT)];
  expect((await program.read("loss"))[0]!).toBeCloseTo(reference(w, own, moved), 5);
  const slopes = finiteDifference((v) => Float64Array.of(reference(v, own, moved)), w, [1]);
  const found = await gpu.readFloats(weight.gradient, weight.size);
  for (const [i, slope] of slopes.entries())
    expect(Math.abs(found[i]! - slope)).toBeLessThan(2e-5 * (1 + Math.abs(slope)));
  program.free();
  model.free();
});

test("batches hold rows as they are, then moved to where margins move most, by name and not by order", async () => {
  const model = await linear();
  const attack = {
    norm: "linf",
    epsilon: 0.3,
    steps: 30,
    stepSize: 0.05,
    randomStart: true,
    range: [-9, 9],
    seed: 1,
  } as const;
  const adversary = new Adversary(gpu, logitsOf(model), attack, { grows: marginMoves });
  const source = adversarialBatches(numberBatches(points, ROWS, 3), adversary, { beside: true });
  const { batch } = await source.next();
  if (!("x" in batch)) throw new Error("numbers were expected");
  expect([batch.rows, batch.moved, batch.labels.length, batch.tasks.length, source.largest().rows]).toEqual([
    6, 3, 6, 6, 6,
  ]);
  const { buffer, size } = model.parameters.get("classifier.weight")!;
  const w = await gpu.readFloats(buffer, size);
  const turned = (label: number, k: number, j: number) => w[label * INPUT + j]! - w[k * INPUT + j]!;
  /** Slope of half the squared length of what margins move by. */
  const slope = (to: readonly number[], label: number, i: number) => {
    const moves = Array.from({ length: CLASSES }, (_, k) => to.reduce((sum, t, j) => sum + t * turned(label, k, j), 0));
    return moves.reduce((sum, move, k) => sum + move * turned(label, k, i), 0);
  };
  for (let row = 0; row < ROWS; row++) {
    const place = points.findIndex(({ place }) => place === batch.places[row]);
    const [plain, moved] = [0, ROWS].map((first) => batch.x.subarray((first + row) * INPUT, (first + row + 1) * INPUT));
    expect([...plain!]).toEqual([...points[place]!.x]);
    const to = Array.from(moved!, (v, i) => v - plain![i]!);
    for (const t of to) expect(Math.abs(t)).toBeLessThanOrEqual(0.3 + 1e-6);
    // The ascent ends in a corner to which its own slope points.
    for (const [i, t] of to.entries()) {
      expect(Math.abs(t)).toBeCloseTo(0.3, 5);
      expect(Math.sign(t)).toBe(Math.sign(slope(to, batch.labels[row]!, i)));
    }
  }
  adversary.free();
  model.free();
});

const folder = mkdtempSync(join(tmpdir(), "ingot-smooth-"));
const run = (name: string, ...argv: string[]) => runScript(name, argv, folder);
const TRAIN = [
  "--init",
  "net.json",
  "--data",
  "rows.jsonl",
  "--batch-size",
  "20",
  "--steps",
  "6",
  "--optimizer",
  "sgd",
  "-q",
];
beforeAll(() => {
  writeFileSync(
    join(folder, "net.json"),
    JSON.stringify({ model_type: "mlp", input_size: 3, hidden_sizes: [8], num_labels: 3 }),
  );
  const rows = Array.from({ length: 60 }, (_, i) => {
    const label = i % 10 < 7 ? 0 : i % 10 < 9 ? 1 : 2;
    return { x: [...normals(i, 3, 0.5)].map((v, j) => v + (j === label ? 1 : 0)), label };
  });
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function weightsAfter(name: string, ...argv: string[]): Promise<Map<string, Float32Array>> {
  const { code, err } = await run("train", ...TRAIN, ...argv, "-o", `${name}/`);
  expect([err, code]).toEqual(["", 0]);
  return tensorsOf(join(folder, name));
}
const apart = (a: Map<string, Float32Array>, b: Map<string, Float32Array>) =>
  Math.max(...[...a].flatMap(([name, values]) => [...values].map((v, i) => Math.abs(v - b.get(name)![i]!))));

test("without weight or radius it is training on rows as they are; with both it is not", async () => {
  const plain = await weightsAfter("plain");
  const smooth = ["--adversarial", "--pgd-steps", "2", "--adversarial-loss", "smooth"];
  expect(apart(plain, await weightsAfter("no-weight", ...smooth, "--smooth-weight", "0"))).toBeLessThan(1e-5);
  expect(apart(plain, await weightsAfter("no-radius", ...smooth, "--pgd-epsilon", "0"))).toBeLessThan(1e-4);
  expect(apart(plain, await weightsAfter("both", ...smooth))).toBeGreaterThan(1e-3);
});

test("weights of labels may begin later: never, they are none; at the first step, they are all", async () => {
  const balanced = ["--loss", "class-balanced", "--balance-by", "number"];
  const [plain, whole] = [await weightsAfter("as-ce"), await weightsAfter("weighed", ...balanced)];
  expect(apart(plain, await weightsAfter("never", ...balanced, "--balance-from", "1"))).toBeLessThan(1e-5);
  expect(apart(whole, await weightsAfter("at-once", ...balanced, "--balance-from", "0.01"))).toBeGreaterThan(0);
  const half = await weightsAfter("half", ...balanced, "--balance-from", "0.5");
  expect(apart(plain, half)).toBeGreaterThan(1e-4);
  expect(apart(whole, half)).toBeGreaterThan(1e-4);
});

test("srat: moved rows, weights of labels that come later and a loss that draws classes apart", async () => {
  const adversarial = ["--adversarial", "--pgd-steps", "2", "--loss", "class-balanced", "--balance-from", "0.5"];
  const none = await weightsAfter("no-separation", ...adversarial);
  expect(apart(none, await weightsAfter("separated", ...adversarial, "--contrastive", "1"))).toBeGreaterThan(1e-4);
});

test("what does not go together is refused", async () => {
  const refused = async (...argv: string[]) => {
    const { code, err } = await run("train", ...TRAIN, "-o", "x/", ...argv);
    expect(code).toBe(2);
    return err;
  };
  const smooth = ["--adversarial", "--adversarial-loss", "smooth"];
  expect(await refused(...smooth, "--mixup", "0.5")).toContain("--mixup asks for another");
  expect(await refused(...smooth, "--loss", "anyloss")).toContain("--loss anyloss is none");
  expect(await refused(...smooth, "--no-pgd-random-start")).toContain("begins where the distance");
  expect(await refused(...smooth, "--adversarial-share", "0.5")).toContain("every row is read both ways");
  expect(await refused("--adversarial-loss", "smooth")).toContain("--adversarial");
  expect(await refused("--loss", "focal", "--mixup", "0.5")).toContain("do not go with --loss focal");
});
