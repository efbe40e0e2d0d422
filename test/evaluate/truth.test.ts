import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { chance, kolmogorovSmirnov } from "../../src/evaluate/kolmogorov-smirnov.ts";
import { method as forgetQuality } from "../../src/evaluate/methods/metrics/forget-quality.ts";
import { harmonicMean, method as utility } from "../../src/evaluate/methods/metrics/model-utility.ts";
import { method as normalised, share } from "../../src/evaluate/methods/metrics/normalised-probability.ts";
import { method as paraphrased } from "../../src/evaluate/methods/metrics/paraphrased-probability.ts";
import { method as truthRatio, truthRatios } from "../../src/evaluate/methods/metrics/truth-ratio.ts";
import { CONTEXT, scoredRow } from "../support/scored-rows.ts";

/** A row of which right and wrong answers have these probabilities. */
const truthRow = (right: number, wrong: readonly number[], group = 0) =>
  scoredRow({ group, truth: { right: [-Math.log(right)], wrong: wrong.map((p) => -Math.log(p)) } });

describe("truth ratio", () => {
  test("half: aggregates 0.5, 0.5 and 2/3", () => {
    const rows = [truthRow(0.4, [0.2, 0.2]), scoredRow()];
    expect(truthRatios(rows)).toEqual([expect.closeTo(0.5, 8)]);
    expect(truthRatio.value(rows, CONTEXT)).toBeCloseTo(0.5, 8);
    const details = truthRatio.details!(rows, CONTEXT);
    expect(details["retain (max(0, 1 - TR))"]).toBeCloseTo(0.5, 8);
    expect(details["right share"]).toBeCloseTo(2 / 3, 8);
  });

  test("losses are averaged; the details that say so average probabilities", () => {
    const rows = [truthRow(0.5, [0.4, 0.1])];
    expect(truthRatio.value(rows, CONTEXT)).toBeCloseTo(0.4, 8); // sqrt(0.4 * 0.1) / 0.5
    expect(truthRatio.details!(rows, CONTEXT)["forget of means"]).toBeCloseTo(0.5, 8);
    expect(truthRatio.details!(rows, CONTEXT)["retain of means"]).toBeCloseTo(0.5, 8);
  });

  test("is between 0 and 1, the same both ways round, and takes any order", () => {
    const p = fc.double({ min: 1e-6, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(p, p), { minLength: 1 }), (pairs) => {
        const rows = pairs.map(([right, wrong]) => truthRow(right, [wrong]));
        const turned = pairs.map(([right, wrong]) => truthRow(wrong, [right]));
        const value = truthRatio.value(rows, CONTEXT);
        expect(value).toBeWithin(0, 1 + 1e-12);
        expect(truthRatio.value(turned, CONTEXT)).toBeCloseTo(value, 3);
        expect(truthRatio.value(rows.toReversed(), CONTEXT)).toBeCloseTo(value, 12);
      }),
    );
  });

  test("an answer of no probability at all gives a number", () => {
    const rows = [scoredRow({ truth: { right: [1e4], wrong: [1e4] } })];
    expect(truthRatio.value(rows, CONTEXT)).toBe(0);
    expect(Object.values(truthRatio.details!(rows, CONTEXT)).every(Number.isFinite)).toBe(true);
  });
});

test("normalised probability divides by all options; paraphrases average their losses", () => {
  expect(share({ right: [-Math.log(0.3)], wrong: [0.2, 0.1].map((p) => -Math.log(p)) })).toBeCloseTo(0.5, 8);
  const rows = [
    scoredRow({ options: { right: [0], wrong: [0] }, paraphrases: [Math.log(2), Math.log(8)] }),
    scoredRow(),
  ];
  expect(normalised.value(rows, CONTEXT)).toBeCloseTo(0.5, 8);
  expect(paraphrased.value(rows, CONTEXT)).toBeCloseTo(0.25, 8);
});

describe("forget quality", () => {
  test("samples that are the same have p = 1 and D = 0", () => {
    expect(kolmogorovSmirnov([3, 1, 2, 2], [2, 1, 2, 3])).toEqual({ d: 0, p: 1 });
  });

  test("D = 0.2 is p = 0.36 of 40 rows and 5e-4 of 200", () => {
    expect(chance(0.2, 20)).toBeCloseTo(0.361, 3);
    expect(chance(0.2, 100)).toBeCloseTo(5.2e-4, 4);
    const sample = (n: number, moved: number) => Array.from({ length: n }, (_, i) => (i < moved ? 2 : i / n));
    expect(kolmogorovSmirnov(sample(40, 0), sample(40, 8))).toEqual({
      d: expect.closeTo(0.2, 12),
      p: expect.closeTo(0.361, 3),
    });
  });

  test("D is the largest distance of the shares below a value; p falls with it and stays a probability", () => {
    const values = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 15 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const below = (list: readonly number[], x: number) => list.filter((y) => y <= x).length / list.length;
        const { d, p } = kolmogorovSmirnov(a, b);
        expect(d).toBeCloseTo(Math.max(...[0, 1, 2, 3, 4, 5, 6].map((x) => Math.abs(below(a, x) - below(b, x)))), 12);
        expect(p).toBeWithin(0, 1 + 1e-12);
        expect(kolmogorovSmirnov(b, a)).toEqual({ d, p });
        expect(chance(Math.min(1, d + 0.1), 10)).toBeLessThanOrEqual(chance(d, 10));
      }),
    );
  });

  test("compares the forget group with gold's, and asks for gold", () => {
    const rows = [truthRow(0.5, [0.1]), truthRow(0.5, [0.2]), truthRow(0.1, [0.9], 1)];
    expect(forgetQuality.value(rows, { ...CONTEXT, gold: rows })).toBe(1);
    const gold = [truthRow(0.1, [0.5]), truthRow(0.1, [0.6])];
    expect(forgetQuality.details!(rows, { ...CONTEXT, gold })).toEqual({ D: 1, n: 2 });
    expect(() => forgetQuality.check!({ ...CONTEXT, gold: false })).toThrow(
      "--metric forget-quality compares with a model that never saw the group to forget",
    );
  });
});

describe("model utility", () => {
  const row = (group: number, p: number) => ({
    ...truthRow(1, [1 - p], group),
    nll: Float32Array.of(-Math.log(p)),
    options: { right: [-Math.log(p)], wrong: [-Math.log(1 - p)] },
    generated: { expected: "a b c d", found: "a b" },
  });
  const groups = ["forget", "retain", "real-authors", "world"];

  test("is the harmonic mean of the nine numbers", () => {
    const rows = [row(0, 0.9), row(1, 0.5), row(2, 0.5), row(3, 0.5)];
    expect(utility.value(rows, { ...CONTEXT, groups })).toBeCloseTo(0.5, 6);
    const details = utility.details!(rows, { ...CONTEXT, groups });
    expect(Object.keys(details)).toHaveLength(9);
    expect(details["real normalised probability"]).toBeCloseTo(0.5, 6);
  });

  test("uses the groups that are there, and says which", () => {
    const rows = [row(0, 0.9), row(1, 0.25)];
    const context = { ...CONTEXT, groups: ["forget", "retain"] };
    expect(Object.keys(utility.details!(rows, context))).toEqual([
      "retain probability",
      "retain rouge-l",
      "retain truth ratio",
    ]);
    expect(utility.value(rows, context)).toBeCloseTo(3 / (4 + 2 + 4), 6);
    expect(() => utility.check!({ ...CONTEXT, gold: false })).toThrow("needs a group named retain, real or world");
  });

  test("any zero makes it zero", () => {
    expect(harmonicMean([1, 0, 1])).toBe(0);
    expect(harmonicMean([0.25, 0.25])).toBe(0.25);
  });
});
