/** Tokens and examples behind one type: what programs are given of either. */
import { expect, test } from "bun:test";
import { batchKey, collate, isTokens, placesOf, stackExamples } from "../../src/data/batch.ts";
import { countedByRow, meanWeights, targetsOf } from "../../src/data/targets.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../src/run/batch-programs.ts";
import { Programs } from "../../src/run/programs.ts";
import { scale } from "../../src/tensor/ops/elementwise.ts";
import { embedding } from "../../src/tensor/ops/embedding.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();

const sequence = (ids: number[], labels: number[], place: string) => ({
  ids: Int32Array.from(ids),
  labels: Int32Array.from(labels),
  group: 0,
  place,
});
const tokens = collate(
  [
    [sequence([5, 6, 7], [-100, 6, 7], "a:1"), sequence([8, 9], [-100, 9], "a:2")],
    [sequence([4, 3, 2, 1], [4, -100, -100, 1], "b:1")],
  ],
  { buckets: "none" },
);
const example = (label: number) => ({ x: Float32Array.of(label, 0.5), shape: [2], label, place: `c:${label}` });
const examples = stackExamples([example(3), example(1), example(2), example(0)]);

test("targets are the next token's label, never across sequences or rows, and labels as they are", () => {
  expect([...targetsOf(tokens)]).toEqual([6, 7, -100, 9, -100, -100, -100, 1, -100, -100]);
  expect([...targetsOf(examples)]).toEqual([3, 1, 2, 0]);
  for (const batch of [tokens, examples]) {
    const counted = countedByRow(targetsOf(batch), batch.rows);
    expect(counted.reduce((a, b) => a + b, 0)).toBe(batch.counted);
    const weights = meanWeights(targetsOf(batch), batch.counted);
    expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
    expect([...weights].map((w) => w > 0)).toEqual([...targetsOf(batch)].map((target) => target >= 0));
  }
  expect([...countedByRow(targetsOf(tokens), 2)]).toEqual([3, 1]);
});

test("keys tell shapes apart, and places name the first three rows", () => {
  expect([batchKey(tokens), batchKey(examples)]).toEqual(["2x5 packed", "4"]);
  expect([isTokens(tokens), isTokens(examples)]).toEqual([true, false]);
  expect([placesOf(tokens), placesOf(examples)]).toEqual(["a:1, a:2, b:1", "c:3, c:1, c:2"]);
});

test("two batches fill one program apart by their prefixes", async () => {
  const programs = new Programs(gpu);
  const table = Float32Array.from({ length: 10 }, (_, i) => i / 8);
  const { program } = await programs.get("both", (rec) => {
    const { ids, segments } = recordInputs(rec, tokens);
    expect(segments?.shape).toEqual([2, 5]);
    rec.output("ids", embedding(rec, ids, rec.constant(table, [10, 1], "table")));
    const other = recordInputs(rec, examples, "other.");
    if (!("x" in other)) throw new Error("examples have no tokens");
    rec.output("x", scale(rec, other.x, 2));
    recordTargets(rec, examples, "other.");
  });
  fillInputs(program, tokens);
  fillInputs(program, examples, "other.");
  expect([...fillTargets(program, examples, "other.")]).toEqual([3, 1, 2, 0]);
  program.run();
  expect([...(await program.read("ids"))]).toEqual([...tokens.ids].map((id) => id / 8));
  expect([...(await program.read("x"))]).toEqual([6, 1, 2, 1, 4, 1, 0, 1]);
  programs.free();
});
