/** An adapter in stages: what moves in each, that a new one begins as the model that was, and who says when. */
import { expect, test } from "bun:test";
import { method as dps } from "../../../../src/curriculum/methods/samplers/dps.ts";
import { type Batch, collate } from "../../../../src/data/batch.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { loadMethod } from "../../../../src/method/registry.ts";
import { Model } from "../../../../src/model/model.ts";
import { crossEntropyObjective } from "../../../../src/run/training/cross-entropy.ts";
import { adapterStages, equalStages } from "../../../../src/run/training/rules/adapter-stages.ts";
import { Trainer } from "../../../../src/run/training/trainer.ts";
import { method as adamw } from "../../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";

const gpu = await sharedGpu();
const BATCH = collate(
  [
    [1, 5, 7, 2, 9, 36],
    [4, 8, 15, 16, 23, 30],
  ].map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
);
const RANK = 2;
const STAGES = 3;

test("a stage trains its own part and the scales of those before; the model goes on as it was", async () => {
  const type = bindDefaults(await loadMethod("adapter", "staged"), { adapter_rank: RANK, staged_stages: STAGES });
  const base = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4, adapter: { type, seed: 1 } });
  expect(await logitsOf(gpu, model, BATCH)).toEqual(await logitsOf(gpu, base, BATCH));
  const parts = model.trainable().filter(({ name }) => name.includes("layers.0.mlp.down_proj"));
  const read = async () =>
    Object.fromEntries(
      await Promise.all(
        parts.map(
          async ({ name, buffer, size }) => [name.split(".").at(-1)!, await gpu.readFloats(buffer, size)] as const,
        ),
      ),
    ) as Record<"staged_A" | "staged_B" | "staged_logits", Float32Array>;
  const trainer = await Trainer.make<Batch>({
    ...{ gpu, parameters: model.trainable(), objective: crossEntropyObjective(model), seed: 1, clip: 0 },
    ...{ optimizer: bindDefaults(adamw), decays: () => true },
    updates: adapterStages(model, undefined, 6, 1),
  });
  const begun = await read();
  const into = begun.staged_A.length / (STAGES * RANK);
  /** Which parts of A, and columns of B, differ, and which logits. */
  const moved = (from: typeof begun, to: typeof begun) => ({
    a: [0, 1, 2].filter((j) =>
      from.staged_A
        .subarray(j * RANK * into, (j + 1) * RANK * into)
        .some((x, i) => x !== to.staged_A[j * RANK * into + i]),
    ),
    b: [0, 1, 2].filter((j) =>
      from.staged_B.some((x, i) => Math.floor((i % (STAGES * RANK)) / RANK) === j && x !== to.staged_B[i]),
    ),
    logits: [0, 1, 2, 3].filter((j) => from.staged_logits[j] !== to.staged_logits[j]),
  });
  let before = begun;
  for (let step = 1; step <= 6; step++) {
    await (await trainer.step(step, 0.01, [BATCH])).result;
    if (step % 2 === 1) continue;
    const stage = step / 2;
    const now = await read();
    expect(moved(before, now)).toEqual({
      ...{ a: [stage - 1], b: [stage - 1] },
      logits: [0, 1, 2].slice(0, stage), // of W, and of the parts before
    });
    before = now;
  }
  // What no stage trains stays as it began.
  expect(before.staged_logits[3]).toBe(0);
  trainer.free();
  for (const one of [base, model]) one.free();
}, 120_000);

test("stages share the steps; a model whose adapter has none is left alone", async () => {
  const of = equalStages(3, 7);
  expect([1, 2, 3, 4, 5, 6, 7].map(of)).toEqual([1, 1, 1, 2, 2, 3, 3]);
  const base = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  expect(adapterStages(base, undefined, 7, 1)).toEqual([]);
  base.free();
});

test("solved groups give no more data; enough of them end a stage, as does its time", () => {
  const group = (name: string) => ({ name, rows: 10, tokens: 10 });
  const groups = ["a", "b", "c", "d"].map(group);
  const values = { targets: [1, 1, 1, 1], min_steps: 0, stage_steps: 100, every: 10 };
  const make = (more = {}) => dps.make({ groups, steps: 1000, seed: 0, stages: 3, values: { ...values, ...more } });
  const hear = (sampler: ReturnType<typeof make>, step: number, losses: number[]) =>
    sampler.update({ step, losses, drawn: [0, 0, 0, 0] });
  const sampler = make();
  expect(sampler.segment()).toEqual({ probs: [0.25, 0.25, 0.25, 0.25], steps: 0 });
  hear(sampler, 0, [2, 2, 2, 0.5]); // d is solved before any training: three are left, a quota of 2 for two stages
  expect(sampler.segment()).toEqual({ probs: [1 / 3, 1 / 3, 1 / 3, 0], steps: 10 });
  hear(sampler, 10, [1, 2, Number.NaN, 5]);
  expect([sampler.segment().probs, sampler.stage!()]).toEqual([[0, 0.5, 0.5, 0], 1]);
  hear(sampler, 20, [3, 0.9, 2, 5]); // a stays solved; with b the quota is full
  expect([sampler.segment().probs, sampler.stage!(), sampler.notes!().solved]).toEqual([
    [0, 0, 1, 0],
    2,
    ["a", "b", "d"],
  ]);
  const other = make();
  other.load(sampler.state());
  for (const one of [sampler, other]) {
    hear(one, 110, [3, 3, 3, 3]);
    expect(one.stage!()).toBe(2);
    hear(one, 120, [3, 3, 3, 3]); // a hundred steps of it
    expect(one.stage!()).toBe(3);
    hear(one, 500, [3, 3, 0, 3]);
    expect([one.stage!(), one.segment().probs]).toEqual([3, [0.25, 0.25, 0.25, 0.25]]);
  }
  const late = make({ min_steps: 50 });
  hear(late, 0, [2, 2, 2, 2]);
  hear(late, 40, [0, 0, 2, 2]);
  expect(late.stage!()).toBe(1);
  hear(late, 50, [0, 0, 2, 2]);
  expect(late.stage!()).toBe(2);
  expect(() => make({ targets: [1] })).toThrow("--targets has 1 values");
});
