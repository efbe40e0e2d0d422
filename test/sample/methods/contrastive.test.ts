/** Contrastive decoding against its formula in plain arithmetic. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { method } from "../../../src/sample/methods/contrastive.ts";
import { combineWith } from "./combine-with.ts";

const EXPERT = Float32Array.from([0.5, 0.3, 0.15, 0.05], Math.log);
const AMATEUR = Float32Array.from([0.7, 0.1, 0.1, 0.1], Math.log);
const probabilities = (values: Record<string, number>) =>
  Array.from(logProbabilities(combineWith(bindDefaults(method, values), 2)([EXPERT, AMATEUR])), Math.exp);

test("(1 + beta) log expert - beta log amateur, among tokens with a share of the largest probability", () => {
  const found = probabilities({ contrastive_beta: 0.5, contrastive_plausible: 0.2 });
  const want = [0, 1, 2].map((id) => Math.exp(EXPERT[id]!) ** 1.5 / Math.exp(AMATEUR[id]!) ** 0.5);
  const total = want.reduce((a, b) => a + b);
  for (const [id, x] of want.entries()) expect(found[id]!).toBeCloseTo(x / total, 6);
  expect(found[3]).toBe(0);
});

test("beta 0 without a bound is the expert", () => {
  const found = probabilities({ contrastive_beta: 0, contrastive_plausible: 0 });
  for (const [id, p] of [0.5, 0.3, 0.15, 0.05].entries()) expect(found[id]!).toBeCloseTo(p, 6);
});
