/** Pairs as an embedder scores them: ranks by hand, groups apart, whatever the batch. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Example } from "../../../src/data/examples.ts";
import { Model } from "../../../src/model/model.ts";
import { embedTexts, scorePairs } from "../../../src/run/scoring/score-pairs.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_ENCODERS } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const signal = new AbortController().signal;
const text = (...ids: number[]) => ({ ids: Int32Array.from([2, ...ids, 3]), types: new Int32Array(ids.length + 2) });
const [A, B, C, D, E] = [text(8, 9), text(21, 22, 23, 24, 25, 26, 27), text(40), text(11, 12, 13), text(30, 31)];

const pair = (first: typeof A, second: typeof A, negatives: (typeof A)[] = [], group = 0, score?: number): Example => ({
  pair: { first, second, negatives, score },
  ...{ label: 0, group, place: "here" },
});
const ROWS = [pair(A, B, [D, E]), pair(C, D), pair(B, B), pair(D, A, [C], 1, 0.5), pair(E, A, [], 1)];

describe("an embedder", () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.fresh(gpu, TINY_ENCODERS.bert!, "m", { seed: 3, embeds: {} });
  });
  afterAll(() => model.free());

  const score = (rows: number, done?: (n: number) => void) =>
    scorePairs(model, ROWS, { ref: "m", rows, signal, ...(done ? { done } : {}) });

  test("ranks the second text among all of its group, each once", async () => {
    const vectors = await embedTexts(
      model,
      [A, B, C, D, E].map((tokens) => ({ tokens, place: "here" })),
      { ref: "m", rows: 5, signal },
    );
    const of = ({ ids }: typeof A) => vectors.get(ids.join())!;
    const cosine = (a: typeof A, b: typeof A) => of(a).reduce((sum, x, i) => sum + x * of(b)[i]!, 0);
    const place = (first: typeof A, second: typeof A, others: (typeof A)[]) =>
      1 + others.filter((other) => cosine(first, other) >= cosine(first, second)).length;
    const found = (await score(3)).map((row) => row.pair!);
    // The candidates of group 0 are B, D and E; those of group 1 A and C. A text is none of its own.
    expect(found.map(({ candidates }) => candidates)).toEqual([3, 3, 3, 2, 2]);
    expect(found.map(({ rank }) => rank)).toEqual([
      place(A, B, [D, E]),
      place(C, D, [B, E]),
      1,
      place(D, A, [C]),
      place(E, A, [C]),
    ]);
    expect(found.map((one) => one.score)).toEqual([undefined, undefined, undefined, 0.5, undefined]);
    expect(found[1]!.cosine).toBeCloseTo(cosine(C, D), 6);
    expect(found[2]!.cosine).toBeCloseTo(1, 12);
  });

  test("gives the same whatever is run beside a row, and counts every row as done once", async () => {
    let counted = 0;
    const all = await score(5);
    const single = await score(1, (n) => {
      counted += n;
    });
    expect(counted).toBe(ROWS.length);
    for (const [i, { pair: one }] of all.entries()) {
      expect(one!.rank).toBe(single[i]!.pair!.rank);
      expect(one!.cosine).toBeCloseTo(single[i]!.pair!.cosine, 5);
    }
  });

  test("one that gives all texts the same vector finds nothing", async () => {
    const flat = await Model.fresh(gpu, TINY_ENCODERS.bert!, "m", { seed: 3, embeds: {} });
    for (const parameter of flat.parameters.values())
      if (/LayerNorm\.weight$/.test(parameter.name)) parameter.write(new Float32Array(parameter.size));
    for (const parameter of flat.parameters.values())
      if (/LayerNorm\.bias$/.test(parameter.name)) parameter.write(new Float32Array(parameter.size).fill(1));
    const rows = await scorePairs(flat, ROWS, { ref: "m", rows: 2, signal });
    expect(rows.map(({ pair: one }) => one!.rank)).toEqual([3, 3, 3, 2, 2]);
    flat.free();
  });
});
