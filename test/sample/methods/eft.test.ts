/** Emulated fine-tuning: the identities of its formula, and weights and the nucleus by hand. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { method } from "../../../src/sample/methods/eft.ts";
import { normals } from "../../support/random.ts";
import { combineWith, ruleWith } from "./combine-with.ts";

const V = 31;
const [BASE, TUNED, OTHER, REFERENCE] = [1, 2, 3, 4].map((seed) => normals(seed, V, 2)) as [
  Float32Array,
  Float32Array,
  Float32Array,
  Float32Array,
];
const combined = (said: readonly Float32Array[], values: Record<string, unknown> = {}) =>
  logProbabilities(combineWith(bindDefaults(method, values), said.length)(said));
function expectSame(found: Float64Array, logits: Float32Array): void {
  for (const [id, x] of logProbabilities(logits).entries()) expect(found[id]!).toBeCloseTo(x, 6);
}

test("scale 0 is the base; a base that is the reference becomes the fine-tuned model", () => {
  expectSame(combined([BASE, TUNED, REFERENCE], { eft_scale: 0 }), BASE);
  expectSame(combined([REFERENCE, TUNED, REFERENCE]), TUNED);
});

test("two changes are interpolated by their weights", () => {
  const found = combined([BASE, TUNED, OTHER, REFERENCE], { eft_weights: [0.7, 0.3], eft_scale: 2 });
  const want = BASE.map((x, id) => x + 2 * (0.7 * TUNED[id]! + 0.3 * OTHER[id]! - REFERENCE[id]!));
  expectSame(found, want);
  const alike = combined([BASE, TUNED, OTHER, REFERENCE]);
  expectSame(
    alike,
    BASE.map((x, id) => x + 0.5 * TUNED[id]! + 0.5 * OTHER[id]! - REFERENCE[id]!),
  );
});

test("outside the base's nucleus nothing changes but what all probabilities are divided by", () => {
  const base = Float32Array.from([0.6, 0.3, 0.07, 0.03], Math.log);
  const tuned = Float32Array.from([0.1, 0.1, 0.4, 0.4], Math.log);
  const reference = Float32Array.from([0.25, 0.25, 0.25, 0.25], Math.log);
  const found = combined([base, tuned, reference], { eft_nucleus: 0.85 }).map(Math.exp);
  const want = [0.6 * 0.4, 0.3 * 0.4, 0.07, 0.03];
  const total = want.reduce((a, b) => a + b);
  for (const [id, p] of want.entries()) expect(found[id]!).toBeCloseTo(p / total, 6);
});

test("weights beyond the simplex are told, and another number of them is refused", () => {
  const rule = (weights: number[]) => ruleWith(bindDefaults(method, { eft_weights: weights }), 4);
  expect(rule([0.5, 0.5]).remark).toBeUndefined();
  expect(rule([1.5, -0.5]).remark).toContain("1.5");
  expect(() => rule([1])).toThrow("--eft-weights 1 are 1, and --with names 2 fine-tuned models");
});
