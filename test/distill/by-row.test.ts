/** A classifier's loss of hidden states is the mean over an example's tokens, of which padding is none. */
import { expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import { byRow } from "../../src/distill/by-row.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { rowSum } from "../../src/tensor/ops/reduce.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_ENCODERS, TINY_EXAMPLES } from "../support/tiny-models.ts";

const gpu = await sharedGpu();

/** Means over tokens of the sums of the first block's states, and the states' own sums. */
async function meansOf(json: Json, rows: Parameters<typeof stackExamples>[0]) {
  const model = await Model.fresh(gpu, json, "m", { seed: 2 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.5));
  const batch = stackExamples(rows);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const recorded = model.record(rec, recordInputs(rec, batch));
  const sums = rowSum(rec, recorded.notes.get("hidden.1")!);
  rec.output("sums", sums);
  rec.output("means", byRow(rec, sums, recorded));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const found = { sums: [...(await program.read("sums"))], means: [...(await program.read("means"))] };
  program.free();
  model.free();
  return found;
}

const meanOf = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

test("of texts", async () => {
  const texts = [5, 18, 9].map((length, i) => ({
    tokens: { ids: Int32Array.from({ length }, (_, k) => (7 * k + i) % 50), types: new Int32Array(length) },
    label: 0,
  }));
  const { sums, means } = await meansOf(TINY_ENCODERS.bert!, texts);
  expect(sums.length).toBe(3 * 24);
  const wanted = [5, 18, 9].map((length, row) => meanOf(sums.slice(row * 24, row * 24 + length)));
  for (const [i, mean] of means.entries()) expect(mean).toBeCloseTo(wanted[i]!, 4);
});

test("of images", async () => {
  const images = [0, 1].map((label) => ({ x: normals(label, 36), shape: [1, 6, 6], label }));
  const { sums, means } = await meansOf(TINY_EXAMPLES.vit!, images);
  for (const [i, mean] of means.entries()) expect(mean).toBeCloseTo(meanOf(sums.slice(10 * i, 10 * i + 10)), 4);
});
