/** What a model and its draft have in common, against sums on the host. */
import { afterAll, expect, test } from "bun:test";
import type { Sequence } from "../../../src/data/sequences.ts";
import { Model } from "../../../src/model/model.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import { argmax, distributionOf, GREEDY, probabilityOf } from "../../../src/run/generating/sampling.ts";
import { scoreSequences } from "../../../src/run/scoring/score-rows.ts";
import { Scorer } from "../../../src/run/scoring/scorer.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const model = await Model.fresh(gpu, { ...TINY_TEXT.llama!, vocab_size: 23 }, "m", { seed: 1 });
const same = await Model.fresh(gpu, { ...TINY_TEXT.llama!, vocab_size: 23 }, "m", { seed: 2 });
const wider = await Model.fresh(gpu, { ...TINY_TEXT.gpt2!, vocab_size: 29 }, "m", { seed: 3 });
afterAll(() => {
  for (const each of [model, same, wider]) each.free();
});

const row = (list: readonly number[], ignored: number): Sequence => {
  const ids = Int32Array.from(list);
  return { ids, labels: ids.map((id, i) => (i < ignored ? -100 : id)), group: 0, place: "here" };
};
const ROWS = [row([1, 2, 3, 4, 5, 6], 0), row([9, 8, 7], 2), row([3, 3], 2)];

async function logitsAfter(of: Model, ids: readonly number[]): Promise<Float32Array> {
  const decoder = new Decoder(of, "m");
  const logits = await decoder.read([ids], { most: 16, names: ["one"] });
  decoder.free();
  return logits;
}

test.each([
  ["of as many outputs", same],
  ["of more outputs", wider],
  ["which is the model itself", model],
])("a draft %s", async (_, draft) => {
  const scorer = new Scorer(model, undefined, { draft });
  const found = await scoreSequences(model, ROWS, 0, {
    ...{ rows: 2, scorer, ref: "m", signal: new AbortController().signal },
  });
  await scorer.free();
  expect(found.map(({ draft }) => draft?.overlap.length)).toEqual([5, 1, 0]);
  for (const [i, { ids, labels }] of ROWS.entries()) {
    const places = [...ids.keys()].filter((at) => at > 0 && labels[at]! >= 0);
    for (const [n, at] of places.entries()) {
      const before = [...ids.subarray(0, at)];
      const [p, q] = [await logitsAfter(model, before), await logitsAfter(draft, before)];
      const [ours, theirs] = [p, q].map((logits) => distributionOf(logits, [], { ...GREEDY, temperature: 1 }));
      let overlap = 0;
      for (let id = 0; id < 23; id++) overlap += Math.min(probabilityOf(ours!, id), probabilityOf(theirs!, id));
      expect(found[i]!.draft!.overlap[n]).toBeCloseTo(overlap, 5);
      expect(found[i]!.draft!.argmax[n]).toBe(argmax(q));
    }
  }
});
