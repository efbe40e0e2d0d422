/** CoDa against its formulas in plain arithmetic, and the spans that it takes out of prompts. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { argmax } from "../../../src/run/generating/sampling.ts";
import { method, overshadowing } from "../../../src/sample/methods/coda.ts";
import { normals } from "../../support/random.ts";
import { combineWith, ruleWith } from "./combine-with.ts";

const logs = (p: readonly number[]) => Float64Array.from(p, Math.log);
const WHOLE = [0.5, 0.3, 0.15, 0.05];
const WITHOUT = [0.6, 0.05, 0.15, 0.2];

test("the score counts what the prompt makes less likely, and what it leaves out", () => {
  // At 0.2 of the largest: 0, 1, 2 of the whole, and 0, 2, 3 of the rest, the least likely of which is 2.
  const both = Math.min(Math.log(0.5 / 0.6), 0) + Math.min(Math.log(0.15 / 0.15), 0);
  const lost = Math.log(0.2) - Math.log(0.15);
  expect(overshadowing(logs(WHOLE), logs(WITHOUT), 0.2)).toBeCloseTo(both - lost, 12);
  expect(overshadowing(logs(WHOLE), logs(WHOLE), 0.2)).toBe(0);
});

test("(1 + gamma) log p - gamma log p' by the most overshadowed span, among plausible tokens", () => {
  const bound = bindDefaults(method, { coda_spans: 2, coda_gamma: 0.5, coda_plausible: 0.2 });
  const notes: Record<string, number> = {};
  const found = combineWith(bound, 1, { notes })([WHOLE, WHOLE, WITHOUT].map((p) => Float32Array.from(p, Math.log)));
  const want = [0, 1, 2].map((id) => WHOLE[id]! ** 1.5 / WITHOUT[id]! ** 0.5);
  const total = want.reduce((a, b) => a + b);
  const p = logProbabilities(found);
  for (const [id, x] of want.entries()) expect(Math.exp(p[id]!)).toBeCloseTo(x / total, 6);
  expect(p[3]).toBe(Number.NEGATIVE_INFINITY);
  expect(notes.span).toBe(1);
  expect(notes.overshadowing).toBeCloseTo(overshadowing(logs(WHOLE), logs(WITHOUT), 0.2), 6);
});

test("a prompt without its span that says the same, and gamma 0, are greedy", () => {
  for (let seed = 0; seed < 30; seed++) {
    const [whole, other] = [normals(seed, 9), normals(seed + 50, 9)];
    const choose = (coda_gamma: number, said: readonly Float32Array[]) =>
      argmax(combineWith(bindDefaults(method, { coda_gamma, coda_spans: 1 }), 1)(said));
    expect(choose(2, [whole, whole])).toBe(argmax(whole));
    expect(choose(0, [whole, other])).toBe(argmax(whole));
  }
});

/** What the views read in the place of a prompt. */
const read = (values: Record<string, string | number>, ids: readonly number[]) =>
  ruleWith(bindDefaults(method, values), 1).views.map(({ prompt }) => prompt?.(ids) ?? ids);

test("pieces of a prompt are taken out in turn, and nothing where nothing would be left", () => {
  expect(read({ coda_spans: 3 }, [1, 2, 3, 4, 5, 6, 7])).toEqual([
    [1, 2, 3, 4, 5, 6, 7],
    [3, 4, 5, 6, 7],
    [1, 2, 5, 6, 7],
    [1, 2, 3, 4],
  ]);
  expect(read({ coda_spans: 1 }, [1, 2])).toEqual([
    [1, 2],
    [1, 2],
  ]);
  expect(read({}, [9])).toEqual(Array.from({ length: 5 }, () => [9]));
});

test("a text is taken out where it first stands; a prompt without it is refused", () => {
  // The texts of these tests are numbers with spaces between.
  expect(read({ coda_span: "2 3" }, [1, 2, 3, 4, 2, 3])[1]).toEqual([1, 4, 2, 3]);
  expect(() => read({ coda_span: "5" }, [1, 2])).toThrow("--coda-span 5: a prompt does not hold it");
  expect(() => read({ coda_span: "5", coda_spans: 2 }, [1])).toThrow("--coda-span names the span");
});
