import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import { bind } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { gradientNorms } from "../../../src/run/scoring/gradient-norms.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../../src/run/training/trainer.ts";
import { method as optimizer } from "../../../src/train/methods/optimizers/sgd.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

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
      optimizer: bind(optimizer, { momentum: 0, nesterov: false, weight_decay: 0 }),
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
