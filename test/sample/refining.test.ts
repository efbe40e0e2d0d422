/** Drafts that a better model goes over: as written in its rule, and on a language whose likelihood is known. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Model } from "../../src/model/model.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { scoreSequences } from "../../src/run/scoring/score-rows.ts";
import { changed, type Judge, refined } from "../../src/sample/refining.ts";
import { learnRows } from "./refining-models.ts";

setDefaultTimeout(240_000); // the machine may be busy

test("the least likely tokens become what the model would write, those it agrees with never", () => {
  const judged = { nll: [0.1, 3, 2, 5], argmax: [9, 8, 7, 4] };
  expect(changed([9, 1, 2, 4], judged, 1)).toEqual([9, 8, 2, 4]);
  expect(changed([9, 1, 2, 4], judged, 4)).toEqual([9, 8, 7, 4]);
  expect(changed([9, 8, 7, 4], judged, 4)).toBeUndefined();
  expect(changed([9, 1, 2, 4], judged, 0)).toBeUndefined();
});

/** A judge who likes 7 and nothing else, each token by itself; counts what it is asked. */
function fondOf7() {
  const asked: number[] = [];
  const judge: Judge = async (sequences) => {
    asked.push(sequences.length);
    return sequences.map(({ ids, labels }) => {
      const own = [...ids].filter((_, i) => labels[i]! >= 0);
      return { nll: own.map((id) => (id === 7 ? 0 : 1 + id / 10)), argmax: own.map(() => 7) };
    });
  };
  return { judge, asked };
}

test("fewer tokens change from round to round, and texts that are done are not asked again", async () => {
  const { judge, asked } = fondOf7();
  const drafts = [
    { prompt: [0], ids: [1, 2, 3, 4] },
    { prompt: [0], ids: [7, 7] },
    { prompt: [0], ids: [] },
  ];
  const found = await refined(drafts, judge, { rounds: 2, share: 0.5 });
  // Two of four in the first round, one of them in the second.
  expect(found.map(({ ids, rounds }) => [ids, rounds])).toEqual([
    [[1, 7, 7, 7], 2],
    [[7, 7], 0],
    [[], 0],
  ]);
  expect(found[0]!.after).toBeCloseTo(1.1 / 4, 12);
  expect(found[2]!.before).toBeNaN();
  expect(asked).toEqual([2, 1, 1]);
  const none = await refined(drafts, judge, { rounds: 0, share: 0.5 });
  expect(none.map(({ ids }) => ids)).toEqual(drafts.map(({ ids }) => ids));
});

test("a text that does not become likelier stays as it was", async () => {
  const judge: Judge = async (sequences) =>
    sequences.map(({ ids }) => ({ nll: [ids.includes(7) ? 3 : 2], argmax: [7] }));
  const [found] = await refined([{ prompt: [0], ids: [1] }], judge, { rounds: 4, share: 1 });
  expect(found).toEqual({ ids: [1], before: 2, after: 2, rounds: 0 });
});

test("between the draft and what the large model writes itself, at a part of its passes", async () => {
  const { large, small, prompts, length } = await learnRows();
  const written = async (model: Model, temperature: number) =>
    new Generator(model).complete(prompts, {
      ...{ ...GREEDY, temperature, seed: 1, keys: prompts.map((_, i) => `${i}`), maxTokens: length, stop: [] },
      batch: prompts.length,
    });
  const drafts = (await written(small, 1)).map((ids, i) => ({ prompt: prompts[i]!, ids }));
  let passes = 0;
  const judge: Judge = (sequences) => {
    passes++;
    return scoreSequences(large, sequences, 0, { ref: "large", rows: 32, signal: new AbortController().signal });
  };
  const found = await refined(drafts, judge, { rounds: 4, share: 0.3 });
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [before, after] = [mean(found.map((one) => one.before)), mean(found.map((one) => one.after))];
  const own = await written(large, 0);
  const best = await refined(
    own.map((ids, i) => ({ prompt: prompts[i]!, ids })),
    judge,
    { rounds: 0, share: 0.3 },
  );
  expect(passes - 1).toBeLessThanOrEqual(5);
  expect(passes - 1).toBeLessThan(length);
  for (const one of found) expect(one.after).toBeLessThanOrEqual(one.before);
  expect(after).toBeLessThan(before - 0.2);
  expect(mean(best.map((one) => one.before))).toBeLessThan(after);
  large.free();
  small.free();
});
