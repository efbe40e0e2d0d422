/** Products of the gradients of groups with that of held-out rows, against sums in f64; and what doge makes of them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Alignments, aimedAt } from "../../src/curriculum/alignments.ts";
import { method as doge } from "../../src/curriculum/methods/samplers/doge.ts";
import { method as fixed } from "../../src/curriculum/methods/samplers/static.ts";
import { rowsOf } from "../../src/curriculum/source.ts";
import { readWeights } from "../../src/curriculum/weights-file.ts";
import { collate } from "../../src/data/batch.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { make } from "./world.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const model = await Model.fresh(gpu, TINY_TEXT.llama!, "tiny", { seed: 1 });
const row = (group: number, first: number) => {
  const ids = Int32Array.from({ length: 6 }, (_, i) => 3 + ((first + i * (group + 1)) % 9));
  return { ids, labels: ids.map((id, i) => (i === 0 ? -100 : id)), group, place: `row ${first}` };
};
const sequences = [row(0, 1), row(0, 2), row(1, 3), row(1, 5), row(1, 6)];
const rows = rowsOf(["a", "b"], sequences, 0);
const batchOf = (some: readonly ReturnType<typeof row>[]) =>
  collate(
    some.map((one) => [one]),
    { pad: 0 },
  );
const held = [
  { name: "a", rows: 3, batches: [batchOf([row(0, 4)]), batchOf([row(0, 7), row(0, 8)])] },
  { name: "b", rows: 1, batches: [batchOf([row(1, 9)])] },
];

/** The gradient of the mean loss of a batch, all parameters one after the other. */
async function gradientOf(batch: ReturnType<typeof batchOf>): Promise<number[]> {
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu), { training: true });
  rec.backward(objective.record(rec, batch, "").backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  program.run({ accumulate: 0, seed: 0 });
  const all: number[] = [];
  for (const { gradient, size } of model.trainable()) all.push(...(await gpu.readFloats(gradient, size)));
  program.free();
  return all;
}
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

test("products are those of whole gradients, held-out groups count alike, and the same again for the step", async () => {
  // One after the other: all leave their gradients in one place.
  const parts = [await gradientOf(batchOf(sequences.slice(0, 2))), await gradientOf(batchOf(sequences.slice(2)))];
  const targets = [
    await gradientOf(batchOf([row(0, 4), row(0, 7), row(0, 8)])),
    await gradientOf(batchOf([row(1, 9)])),
  ];
  for (const aims of [[0, 1], [1]]) {
    const some = aimedAt(
      held,
      aims.map((i) => held[i]!.name),
      "doge",
    );
    const measuring = new Alignments({ model, rows, held: some, batchSize: 8, seed: 1 });
    const found = await measuring.measure(3);
    for (const [g, own] of parts.entries()) {
      const wanted = aims.reduce((sum, i) => sum + dot(own, targets[i]!), 0) / aims.length;
      expect(Math.abs(found[g]!.product / wanted - 1)).toBeLessThan(1e-3);
      expect(Math.abs(found[g]!.norm / Math.sqrt(dot(own, own)) - 1)).toBeLessThan(1e-4);
    }
    expect(await measuring.measure(3)).toEqual(found);
    measuring.free();
  }
  expect(() => aimedAt(held, ["c"], "doge")).toThrow("--aim c is no held-out group");
  expect(() => aimedAt([], undefined, "doge")).toThrow("doge needs held-out rows");
});

test("doge by hand: scores over the mean norm, clipped, and the average of the mixtures", () => {
  const sampler = make(doge, { values: { every: 2, eta: 0.1, epsilon: 0.1, mixture: [2, 1, 1] } });
  const hear = (products: number[]) =>
    sampler.update({ step: 2, drawn: [], alignments: products.map((product) => ({ product, norm: 2 })) });
  hear([4, -3, 100]);
  // Scores 2, 0 (not below) and 5 (not above), 0.2 for both steps.
  const raised = [0.5 * Math.exp(0.4), 0.25, 0.25 * Math.exp(1)];
  const sum = raised.reduce((a, b) => a + b, 0);
  const first = raised.map((x) => (0.9 * x) / sum + 0.1 / 3);
  for (const [i, p] of sampler.segment().probs.entries()) expect(p).toBeCloseTo(first[i]!, 5);
  hear([0, 0, 0]);
  const second = sampler.segment().probs;
  const { average } = sampler.notes!() as { average: number[] };
  for (const [i, p] of average.entries()) expect(p).toBeCloseTo((first[i]! + second[i]!) / 2, 5);
});

test("shares and weights from a run's log, and from what regmix writes", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-shares-"));
  const file = (name: string, lines: readonly unknown[]) => {
    writeFileSync(join(folder, name), lines.map((line) => JSON.stringify(line)).join("\n"));
    return join(folder, name);
  };
  const groups = ["b", "a"].map((name) => ({ name, rows: 10, tokens: 20 }));
  const event = (average: number[]) => ({ event: "mixture", step: 1, groups: ["a", "b"], probs: [1, 0], average });
  const log = file("run.log", [{ event: "start" }, event([0.5, 0.5]), event([0.75, 0.25]), { event: "end" }]);
  expect(readWeights(log, groups)).toEqual([0.25, 0.75]);
  const drawn = make(fixed, { groups, values: { mixture_file: log } }).segment().probs;
  expect(drawn).toEqual([0.25, 0.75]);
  expect(readWeights(file("mixture.json", [{ groups: ["a", "b"], mixture: [0.9, 0.1] }]), groups)).toEqual([0.1, 0.9]);
  const plain = file("plain.log", [{ event: "mixture", groups: ["a", "b"], probs: [1, 0] }]);
  expect(() => readWeights(plain, groups)).toThrow("holds no groups with weights");
  const both = { mixture: [1, 1], mixture_file: log };
  expect(() => make(fixed, { groups, values: both })).toThrow("both --mixture and --mixture-file give shares");
  const other = [{ name: "c", rows: 1, tokens: 1 }];
  expect(() => readWeights(log, other, "--mixture-file")).toThrow("has no weight of the group c");
  rmSync(folder, { recursive: true });
});
