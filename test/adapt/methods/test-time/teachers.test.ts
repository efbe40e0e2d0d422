/** RMT, ViDA, PSMT and CoTTA: what their cards say must hold. */
import { expect, test } from "bun:test";
import { measureRows, streamBatch } from "../../../../src/run/test-time/stream.ts";
import { type LabOptions, learnerOf, movingBatches, NET, rowsFor, scoresOf } from "../../../run/test-time/lab.ts";

const batches = movingBatches(4);
const distance = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
/** Scores along a stream, and what the learner says of it. */
async function ran(name: string, options: LabOptions) {
  const lab = await learnerOf(name, options);
  const scores = await scoresOf(lab.learner, batches);
  lab.free();
  return scores;
}

test("rmt without prototypes and replay needs no source, and psmt without penalty and restoring is the same", async () => {
  // PSMT's average is taken twice a step.
  const [rate, momentum] = [0.01, 0.9];
  const free = { contrast_weight: 0, source_free: true, teacher_momentum: momentum ** 2 };
  const robust = await ran("rmt", { values: free, rate, source: false });
  const plain = { fisher_weight: 0, quantile: 0, sure_above: 0, teacher_momentum: momentum };
  const selective = await ran("psmt", { values: plain, rate, source: false });
  for (const [i, own] of robust.entries()) expect(distance(own, selective[i]!)).toBeLessThan(2e-4);
  expect(distance(robust[3]!, robust[0]!)).toBeGreaterThan(0.01);
  await expect(ran("rmt", { source: false })).rejects.toThrow("rmt reads source rows for prototypes and replay");
});

test("rmt: prototypes and replay each change what is learnt", async () => {
  const base = { contrast_weight: 0, replay_weight: 0, warmup_rows: 0, projection: 5, teacher_momentum: 0.9 };
  const last = async (values: object) => (await ran("rmt", { values: { ...base, ...values }, rate: 0.01 })).at(-1)!;
  const plain = await last({});
  expect(distance(await last({ contrast_weight: 1 }), plain)).toBeGreaterThan(1e-3);
  expect(distance(await last({ replay_weight: 1 }), plain)).toBeGreaterThan(1e-3);
  expect(await last({ replay_weight: 1, source_free: true })).toEqual(plain);
});

test("psmt: a heavy penalty holds the student at the source", async () => {
  const moved = async (weight: number) => {
    const values = { fisher_weight: weight, quantile: 0, sure_above: 0, teacher_momentum: 0 };
    const lab = await learnerOf("psmt", { values, rate: 0.02, net: NET });
    const batch = batches[3]!;
    const scores = await scoresOf(lab.learner, Array(8).fill(batch));
    lab.free();
    return distance(scores.at(-1)!, scores[0]!);
  };
  expect(await moved(1e8)).toBeLessThan(0.6 * (await moved(0)));
});

test("psmt: at a quantile near 1 nearly every weight goes back", async () => {
  const source = (await ran("source", { net: NET })).at(-1)!.map((x) => 2 * x);
  const moved = async (quantile: number) => {
    const values = { fisher_weight: 0, quantile, sure_above: 0, teacher_momentum: 0 };
    return distance((await ran("psmt", { values, rate: 0.02, net: NET })).at(-1)!, source);
  };
  expect(await moved(0.999)).toBeLessThan(0.4 * (await moved(0)));
});

test("vida: at unit scales the merged weights answer as the adapters beside them do", async () => {
  // Of one view there is no variance, so that the scales are 1.
  const values = { unsure_views: 1, rank_high: 3, adapter_epochs: 4, train_weights: false, restore: 0 };
  const lab = await learnerOf("vida", {
    values: { ...values, teacher_momentum: 0, adapter_momentum: 0 },
    net: NET,
    rate: 0.05,
  });
  await scoresOf(lab.learner, batches);
  const batch = streamBatch(batches[1]!, -1);
  const beside = await lab.learner.predict(batch);
  expect(beside.values).toMatchObject({ low: 1, high: 1, u: 0 });
  const source = await learnerOf("source", { net: NET });
  const [before] = await scoresOf(source.learner, [batches[1]!], false);
  expect(distance(beside.scores, before!)).toBeGreaterThan(0.01);
  source.free();
  await lab.learner.finish?.();
  const merged = await lab.learner.predict(batch);
  expect(distance(merged.scores, beside.scores)).toBeLessThan(1e-5);
  lab.free();
});

test("vida: the scale of high ranks grows with the uncertainty from the threshold on, else that of low ranks", async () => {
  for (const [from, sign] of [
    [0, 1],
    [1e9, -1],
  ] as const) {
    const values = { unsure_from: from, unsure_views: 3, rank_high: 2, adapter_epochs: 0 };
    const lab = await learnerOf("vida", { values });
    const { values: scales } = await lab.learner.predict(streamBatch(batches[0]!, 0));
    expect(scales!.u).toBeGreaterThan(0);
    expect(scales!.high).toBeCloseTo(1 + sign * scales!.u!, 12);
    expect(scales!.low).toBeCloseTo(1 - sign * scales!.u!, 12);
    lab.free();
  }
});

test("cotta: at a restoring probability of 1 and no momentum the answers stay the source's", async () => {
  const still = { restore: 1, sure_above: 0, teacher_momentum: 1 };
  expect(await ran("cotta", { values: still, rate: 0.05 })).toEqual(await ran("bn-adapt", {}));
});

test("finishing gives the model the weights that answer", async () => {
  const lab = await learnerOf("cotta", { values: { sure_above: 0, teacher_momentum: 0.5, restore: 0 }, rate: 0.02 });
  await scoresOf(lab.learner, batches);
  const rows = rowsFor("after", 30);
  const { signal } = lab.setting;
  const { wrong } = await measureRows(lab.learner, rows, { batchSize: 8, signal });
  await lab.learner.finish?.();
  const found = await measureRows(lab.learner, rows, { batchSize: 8, signal });
  expect(found.wrong).toBe(wrong);
  lab.free();
});
