/** Tent and EATA. */
import { expect, test } from "bun:test";
import { BATCH, CLASSES, learnerOf, movingBatches, NET, rowsFor, scoresOf } from "../../../run/test-time/lab.ts";

const softmax = (z: Float32Array) => {
  const e = Array.from(z, Math.exp);
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
};
const entropies = (scores: Float32Array) =>
  Array.from({ length: BATCH }, (_, i) => {
    const p = softmax(scores.subarray(i * CLASSES, (i + 1) * CLASSES));
    return -p.reduce((sum, x) => sum + x * Math.log(x), 0);
  });
const mean = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / x.length;

test("tent: steps on one batch lower the entropy of its answers", async () => {
  const lab = await learnerOf("tent", { rate: 0.02 });
  const batch = movingBatches(1)[0]!;
  const scores = await scoresOf(lab.learner, Array(12).fill(batch));
  expect(mean(entropies(scores.at(-1)!))).toBeLessThan(mean(entropies(scores[0]!)) - 0.02);
  lab.free();
});

test("eata learns from rows that are sure enough, and from no others", async () => {
  const batch = rowsFor("sure", BATCH, 0.2);
  const all = { eata_margin: 1, eata_redundancy: 1, eata_anchor: 0 };
  const looked = await learnerOf("eata", { values: all });
  const [scores] = await scoresOf(looked.learner, [batch], false);
  const sorted = entropies(scores!).sort((a, b) => a - b);
  const between = (sorted[2]! + sorted[3]!) / 2;
  looked.free();
  const lab = await learnerOf("eata", { values: { ...all, eata_margin: between / Math.log(CLASSES) } });
  await scoresOf(lab.learner, [batch]);
  expect(lab.learner.tells?.()).toEqual({ learnt_rows: 3 });
  lab.free();
});

test("eata without sure rows stays the source", async () => {
  const values = { eata_margin: 1e-9, eata_anchor: 0 };
  const lab = await learnerOf("eata", { values, rate: 1 });
  const batch = movingBatches(1)[0]!;
  const [first, second] = await scoresOf(lab.learner, [batch, batch]);
  expect(second).toEqual(first!);
  lab.free();
});

test("a heavy anchor keeps eata near the source", async () => {
  const batches = Array(6).fill(movingBatches(1)[0]!);
  const moved = async (anchor: number) => {
    const values = { eata_margin: 1, eata_redundancy: 1, eata_anchor: anchor };
    const lab = await learnerOf("eata", { values, rate: 0.02 });
    const scores = await scoresOf(lab.learner, batches);
    lab.free();
    return Math.max(...scores.at(-1)!.map((x, i) => Math.abs(x - scores[0]![i]!)));
  };
  expect(await moved(1e6)).toBeLessThan(0.7 * (await moved(0)));
});

test("methods refuse what they lack", async () => {
  expect(learnerOf("eata", { source: false })).rejects.toThrow("eata measures importances on source rows");
  expect(learnerOf("bn-adapt", { net: NET })).rejects.toThrow("the model has none");
});
