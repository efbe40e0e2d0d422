/** Spans of two tokenizations: where they are, how their tokens merge, and the loss and its slope in float64. */
import { afterAll, describe, expect, test } from "bun:test";
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { method as gold } from "../../src/distill/methods/gold.ts";
import { method as uld } from "../../src/distill/methods/uld.ts";
import { spanTeacher } from "../../src/distill/other-spans.ts";
import { foreignTeacher } from "../../src/distill/other-vocabulary.ts";
import { otherSpans, otherTokens, type SpanMerge, spansOf } from "../../src/distill/same-places.ts";
import { sameTexts } from "../../src/distill/same-texts.ts";
import { Model } from "../../src/model/model.ts";
import { beliefs } from "../experiments/distill-support.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";
import { runRows } from "./rows.ts";

const gpu = await sharedGpu();
const method = gold as never as DistillMethod;

test("spans lie between neighbouring places", () => {
  // th|e |cat|s against the| |ca|ts: the end of "the " and of "cats" are the same
  expect(spansOf(Int32Array.of(-1, 1, -1, 3))).toEqual([{ own: [1, 2], other: [1, 2] }]);
  expect(spansOf(Int32Array.of(0, 1, 2))).toEqual([
    { own: [0, 0], other: [0, 0] },
    { own: [1, 1], other: [1, 1] },
  ]);
  expect(spansOf(Int32Array.of(0, 3))).toEqual([{ own: [0, 0], other: [0, 2] }]);
  expect(spansOf(Int32Array.of(-1, 2, -1))).toEqual([]);
});

test("without spans it is the card's universal logit distillation", async () => {
  const given = { student: [2, 1, 0, -1], teachers: [[0.5, 0.2, -0.1, -1e4]], outputs: 4 };
  expect((await runRows(gpu, method, given)).losses[0]).toBeCloseTo(0.478442, 5);
});

const pairs = await loadTokenizer(
  new Map([
    [
      "tokenizer.json",
      new TextEncoder().encode(
        JSON.stringify({
          version: "1.0",
          added_tokens: [],
          normalizer: null,
          pre_tokenizer: null,
          post_processor: null,
          decoder: { type: "Fuse" },
          model: {
            type: "BPE",
            vocab: Object.fromEntries(["a", "b", "c", " ", "ab", "abc", "ca"].map((token, id) => [token, id])),
            merges: ["a b", "ab c", "c a"],
          },
        }),
      ),
    ],
  ]),
  "pairs",
);
const bytes = byteTokenizer();
const sequences: Sequence[] = ["abc cab", "bb", "a cabcab a", "c"].map((text, i) => {
  const encoded = bytes.encode(text);
  const labels = encoded.map((id, t) => (i === 2 && t < 3 ? -100 : id));
  return { ids: encoded, labels, group: 0, place: `row ${i + 1}` };
});
const batch = collate([[sequences[0]!, sequences[1]!], [sequences[2]!], [sequences[3]!]], { buckets: "none" });

const config = TINY_TEXT.llama!;
const student = await Model.fresh(gpu, { ...config, vocab_size: 259 }, "student", { seed: 1 });
const teacher = await Model.fresh(gpu, { ...config, vocab_size: 9 }, "teacher", { seed: 2, freeze: () => true });
const twin = await Model.fresh(gpu, { ...config, vocab_size: 259 }, "twin", { seed: 3, freeze: () => true });
afterAll(() => {
  for (const model of [student, teacher, twin]) model.free();
});
const matched = sameTexts({ tokenizer: bytes, outputs: 259 }, { tokenizer: pairs, outputs: 9 });

test("tokens with the same text are found, and the others of both", () => {
  const letters = [..."abc "].map((letter) => bytes.encode(letter)[0]!);
  expect(new Map([...matched.own].map((id, i) => [id, matched.other[i]!]))).toEqual(
    new Map(letters.map((id, i) => [id, i])),
  );
  expect([...matched.otherRest]).toEqual([4, 5, 6, 7, 8]);
  expect(matched.own.length + matched.ownRest.length).toBe(259);
});

const weights = { distill: 1, labels: 0 };
const run = (merge: SpanMerge, hybrid: boolean, settings = {}) =>
  lossOf(
    {
      ...{ model: student, method, settings: { merge, hybrid, ...settings }, weights },
      teachers: [
        spanTeacher(
          teacher,
          otherSpans({ own: bytes, other: pairs, maxLength: 64 }, merge),
          hybrid ? matched : undefined,
          { outputs: 259 },
        ),
      ],
    },
    batch,
  );

/** What a model says at every row that has a next token, with what comes. */
async function said(model: Model, given: TokenBatch) {
  const every = { ...given, labels: given.labels.map((_, i) => given.ids[i]!) };
  const targets = targetsOf(every);
  const { p } = await beliefs(model, every);
  const rows = [...targets.keys()].filter((i) => targets[i]! >= 0);
  return new Map(rows.map((row, k) => [row, { p: p[k]!, next: targets[row]! }]));
}
const sorted = (p: readonly number[]) => [...p].sort((a, b) => b - a);
const byRank = (q: readonly number[], p: readonly number[]) => {
  const [a, b] = [sorted(q), sorted(p)];
  return Array.from({ length: Math.max(a.length, b.length) }, (_, r) => Math.abs((a[r] ?? 0) - (b[r] ?? 0))).reduce(
    (sum, x) => sum + x,
  );
};
const jsd = (p: readonly number[], q: readonly number[]) => {
  const [a, b] = [p, q].map((x) => x.map((v) => v / x.reduce((sum, y) => sum + y)));
  const kl = (x: readonly number[]) => x.reduce((sum, v, i) => sum + v * Math.log(v / ((a![i]! + b![i]!) / 2)), 0);
  return (kl(a!) + kl(b!)) / 2;
};

/** The sum of the losses in float64, and how many groups there are. */
async function exact(merge: SpanMerge, hybrid: boolean): Promise<{ sum: number; groups: number }> {
  const other = otherSpans({ own: bytes, other: pairs, maxLength: 64 }, merge)(batch);
  const [mine, theirs] = [await said(student, batch), await said(teacher, other.batch)];
  let [sum, groups] = [0, 0];
  const merged = (from: typeof mine, at: number, rest: Int32Array) => {
    const factor = [...rest]
      .filter((row) => row >= 0)
      .reduce((f, row) => f * from.get(row)!.p[from.get(row)!.next]!, 1);
    return [...from.get(at)!.p].map((x) => x * factor);
  };
  for (const [n, place] of other.places.entries()) {
    if (place < 0) continue;
    groups++;
    const rest = (rows: Int32Array) => rows.subarray(n * other.most, (n + 1) * other.most);
    const [q, p] = [merged(mine, n, rest(other.ownRest)), merged(theirs, place, rest(other.otherRest))];
    const at = (values: number[], ids: Int32Array) => Array.from(ids, (id) => values[id]!);
    const share = matched.own.length / 259;
    sum += hybrid
      ? share * jsd(at(p, matched.other), at(q, matched.own)) +
        (1 - share) * byRank(at(q, matched.ownRest), at(p, matched.otherRest))
      : byRank(q, p);
  }
  return { sum, groups };
}

describe.each(["observed", "bayesian"] as const)("%s", (merge) => {
  test.each([true, false])("the loss in float64, by text: %p", async (hybrid) => {
    const { sum, groups } = await exact(merge, hybrid);
    // a|b|c, " ", c, a|b and b, then of "a cabcab a" from the c on: a, b|c|?, …
    expect(groups).toBeGreaterThan(6);
    const { metrics } = await run(merge, hybrid);
    expect(Math.abs(metrics.distill! / (sum / batch.counted) - 1)).toBeLessThan(2e-5);
  });

  test.each([true, false])("its gradient is its slope, by text: %p", async (hybrid) => {
    const { gradients } = await run(merge, hybrid);
    const length = Math.hypot(...gradients);
    expect(length).toBeGreaterThan(1e-4);
    const kept: Float32Array[] = [];
    for (const { buffer, size } of student.trainable()) kept.push(await gpu.readFloats(buffer, size));
    const at = async (by: number) => {
      let start = 0;
      for (const [i, parameter] of student.trainable().entries()) {
        const from = start;
        parameter.write(kept[i]!.map((w, j) => w + (by * gradients[from + j]!) / length));
        start += parameter.size;
      }
      return (await run(merge, hybrid)).metrics.distill!;
    };
    // So near that few ranks change on the way.
    const slope = ((await at(5e-4)) - (await at(-5e-4))) / 1e-3;
    await at(0);
    expect(Math.abs(slope / length - 1)).toBeLessThan(1e-2);
  });
});

test("spans of one token each, of one tokenizer, are universal logit distillation as it was", async () => {
  const given = { own: bytes, other: bytes, maxLength: 64 };
  const ranked = await lossOf(
    {
      model: student,
      method,
      weights,
      teachers: [spanTeacher(twin, otherSpans(given, "observed"), undefined, { outputs: 259 })],
    },
    batch,
  );
  const plain = await lossOf(
    { model: student, method: uld as DistillMethod, teachers: [foreignTeacher(twin, otherTokens(given))], weights },
    batch,
  );
  expect(ranked.metrics.distill!).toBeCloseTo(plain.metrics.distill!, 6);
  for (const [i, g] of plain.gradients.entries()) expect(Math.abs(g - ranked.gradients[i]!)).toBeLessThan(1e-6);
});
