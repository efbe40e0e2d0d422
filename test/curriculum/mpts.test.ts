/** The neural process of mpts, and what it makes of predictions. */
import { expect, test } from "bun:test";
import { method as mpts, worstShares } from "../../src/curriculum/methods/samplers/mpts.ts";
import { elbo, firstParameters, predict, type Shape } from "../../src/curriculum/neural-process.ts";
import { Random } from "../../src/data/random.ts";
import { groupsOf, make } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));

test("shares of the worst: what keeping one of so many evenly drawn tasks gives", () => {
  expect(worstShares([1, 3, 2], 2)).toEqual(close([0, 2 / 3, 1 / 3]));
  expect(worstShares([1, 2, 3, 4], 2)).toEqual(close([0, 0, 0.5, 0.5]));
  expect(worstShares([5, 5, 5], 2)).toEqual(close([1 / 3, 1 / 3, 1 / 3]));
  expect(worstShares([1, 2, 3], 1)).toEqual(close([1 / 3, 1 / 3, 1 / 3]));
  expect(worstShares([1, 2, 2, 0], 8)).toEqual(close([0, 0.5, 0.5, 0]));

  // The same by drawing: 32 candidates of 4 groups, the 16 worst.
  const random = new Random(1, "candidates");
  const counts = [0, 0, 0, 0];
  const scores = [0.3, 0.9, 0.1, 0.5];
  for (let round = 0; round < 500; round++) {
    const candidates = Array.from({ length: 32 }, () => random.below(4)).sort((a, b) => scores[b]! - scores[a]!);
    for (const group of candidates.slice(0, 16)) counts[group]! += 1 / 8000;
  }
  expect(worstShares(scores, 2)).toEqual(counts.map((count) => expect.closeTo(count, 0.9)));
});

const SHAPE: Shape = { features: 2, hidden: 5, latent: 3 };

test("gradients of the neural process agree with finite differences", () => {
  const random = new Random(4, "np");
  const w = firstParameters(SHAPE, random).map((value) => value + 0.1 * random.normal());
  const points = Array.from({ length: 4 }, () => ({ x: [random.normal(), random.normal()], y: random.normal() }));
  const prior = { mean: [0.3, -0.2, 0.1], deviation: [0.5, 1.2, 0.8] };
  const noise = [0, 1].map(() => [random.normal(), random.normal(), random.normal()]);
  const { gradient } = elbo(w, SHAPE, points, prior, noise, 0.3);
  expect(gradient.length).toBe(w.length);
  expect(gradient.filter((g) => g !== 0).length).toBeGreaterThan(w.length / 2);
  for (let i = 0; i < w.length; i++) {
    const at = (by: number) =>
      elbo(
        w.map((value, j) => (i === j ? value + by : value)),
        SHAPE,
        points,
        prior,
        noise,
        0.3,
      ).loss;
    expect(gradient[i]!).toBeCloseTo((at(1e-6) - at(-1e-6)) / 2e-6, 5);
  }
});

test("its divergence is 0 when prior and posterior are the same", () => {
  const random = new Random(5, "np");
  const w = firstParameters(SHAPE, random);
  const points = [{ x: [1, 0], y: 2 }];
  const start = { mean: [0, 0, 0], deviation: [1, 1, 1] };
  const { posterior, loss: without } = elbo(w, SHAPE, points, start, [[0, 0, 0]], 0);
  const { loss } = elbo(w, SHAPE, points, posterior, [[0, 0, 0]], 7);
  expect(loss).toBeCloseTo(without, 12);
  expect(without).toBeCloseTo((predict(w, SHAPE, [1, 0], posterior.mean) - 2) ** 2, 12);
  expect(elbo(w, SHAPE, points, start, [[0, 0, 0]], 7).loss).toBeGreaterThan(without);
});

test("mpts: without weights the choice is uniform, and so is the first", () => {
  const sampler = make(mpts, { values: { gamma0: 0, gamma1: 0 } });
  const even = close([1 / 3, 1 / 3, 1 / 3]);
  for (let i = 1; i < 5; i++) {
    expect(sampler.segment().probs).toEqual(even);
    sampler.update({ step: 10 * i, training: [1, 2, 3], drawn: [1, 1, 1] });
  }
});

const rank = (values: readonly number[]) => values.map((value) => values.filter((other) => other < value).length);

/** Spearman's correlation of values without ties. */
function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [rank(a), rank(b)];
  const n = a.length;
  return 1 - (6 * x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0)) / (n * (n * n - 1));
}

test("mpts: predictions come to rank the groups as their losses do, and the worst are drawn", () => {
  const groups = groupsOf(Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`digits${i}`, 10])));
  for (const seed of [0, 1]) {
    const sampler = make(mpts, { groups, seed, values: { learner_lr: 2e-3 } });
    const risk = groups.map((_, i) => 0.5 + 3 * Math.exp(-((i - 6) ** 2) / 8) + 0.01 * i); // worst in the middle
    for (let update = 1; update <= 60; update++) {
      const { probs } = sampler.segment();
      const training = risk.map((value, i) => (probs[i]! > 0 ? value : Number.NaN));
      sampler.update({ step: 10 * update, training, drawn: probs.map((p) => 80 * p) });
    }
    const predicted = sampler.notes!().predicted as number[];
    expect(spearman(predicted, risk)).toBeGreaterThan(0.7);
    const worst = [4, 5, 6, 7, 8];
    const errors = worst.map((i) => Math.abs(predicted[i]! - risk[i]!));
    expect(errors.reduce((x, y) => x + y, 0) / 5).toBeLessThan(0.6);
    expect(sampler.segment().probs).toEqual(close(groups.map((_, i) => (worst.includes(i) ? 0.2 : 0))));
  }
});

test("mpts: features say which groups are alike, not their positions", () => {
  const probs = (features: number[], training: number[]) => {
    const sampler = make(mpts, { values: { features } });
    for (let i = 1; i <= 5; i++) sampler.update({ step: i, training, drawn: [1, 1, 1] });
    return sampler.segment().probs;
  };
  const [a, b, c] = probs([1, 5, 2], [1, 2, 3]);
  expect(probs([5, 2, 1], [2, 3, 1])).toEqual(close([b!, c!, a!]));
  expect(() => make(mpts, { values: { features: [1] } })).toThrow("--features has 1 values but there are 3 groups");
});
