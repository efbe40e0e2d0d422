import { expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { likeGold, method as score } from "../../src/evaluate/methods/metrics/unlearning-score.ts";
import { Model } from "../../src/model/model.ts";
import { gradientNorms } from "../../src/run/scoring/gradient-norms.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/sgd.ts";
import { sharedGpu } from "../support/gpu.ts";
import { CONTEXT, lettersRow } from "../support/scored-rows.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const sequence = (list: readonly number[], counted = list.length): Sequence => {
  const ids = Int32Array.from(list);
  const labels = ids.map((id, i) => (i >= list.length - counted ? id : -100));
  return { ids, labels, group: 0, place: "here" };
};

test("norms are those of what a step of gradient descent takes away, row by row", async () => {
  const gpu = await sharedGpu();
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 3 });
  const weights = () => Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const rows = [sequence([1, 2, 3, 4, 5]), sequence([7]), sequence([9, 8, 7, 6, 5, 4, 3], 2)];
  const before = await weights();
  const norms = await gradientNorms(model, rows, 0, new AbortController().signal);
  expect(await weights()).toEqual(before);
  expect(norms[1]).toBeNaN();
  for (const i of [2, 0]) {
    // The last of the two begins where the first has left the weights, so they are put back.
    for (const [k, parameter] of model.trainable().entries()) parameter.write(before[k]!);
    const trainer = await Trainer.make({
      gpu,
      parameters: model.trainable(),
      objective: crossEntropyObjective(model),
      seed: 0,
      optimizer,
      values: { momentum: 0, nesterov: false, weight_decay: 0 },
      decays: () => false,
      clip: 0,
    });
    await (await trainer.step(1, 1, [collate([[rows[i]!]])])).result;
    const after = await weights();
    const taken = before.map((list, k) => Math.hypot(...list.map((x, j) => x - after[k]![j]!)));
    expect(norms[i]! / (taken.reduce((a, b) => a + b, 0) / taken.length)).toBeCloseTo(1, 3);
    trainer.free();
  }
  model.free();
});

test("privacy is 1 like gold, and falls on both sides", () => {
  expect(likeGold(0.5, 0.5)).toBe(1);
  expect(likeGold(0, 0)).toBe(1);
  expect(likeGold(0.75, 0.5)).toBeCloseTo(0.5, 12);
  expect(likeGold(0.25, 0.5)).toBeCloseTo(0.5, 12);
  expect(likeGold(1, 0.4)).toBe(0);
  expect(likeGold(0.5, 0)).toBe(0);
});

test("the score is the harmonic mean of its parts, which are harmonic means", () => {
  const [truth, losses] = [{ right: [Math.log(4)], wrong: [Math.log(4)] }, [Math.log(2)]];
  const forget = { ...lettersRow("abcd", "xbcd"), group: 0, truth, paraphrases: losses, packedBytes: 9 };
  const moments = Float32Array.of(-1, 1, -1, 1, -1, 1, -1, 1);
  const row = (group: number) => ({ ...forget, group, moments });
  const groups = ["forget", "holdout", "retain"];
  const retain = {
    ...row(2),
    nll: new Float32Array(4),
    truth: { right: [0], wrong: [Number.POSITIVE_INFINITY] },
    generated: { found: "a", expected: "a b" },
  };
  const rows = [row(0), row(1), retain];
  const context = { ...CONTEXT, groups, gold: rows };
  const parts = score.details!(rows, context);
  // 1 - ES and 1 - EM are 1/4, the others 1/2: 4 / (4 + 4 + 2 + 2)
  expect(parts.memorisation).toBeCloseTo(1 / 3, 6);
  expect(parts.privacy).toBe(1);
  expect(parts.utility).toBeCloseTo(3 / (1 + 1 + 2), 6); // probability 1, truth 1, recall 1/2
  expect(score.value(rows, context)).toBeCloseTo(3 / (3 + 1 + 4 / 3), 6);
});
