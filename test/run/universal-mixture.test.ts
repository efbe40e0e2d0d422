import { expect, test } from "bun:test";
import { Random } from "../../src/data/random.ts";
import { bestConstantMixture, mixtureAfter, UNIVERSAL, UniversalMixture } from "../../src/run/universal-mixture.ts";

/** Probabilities that models give to tokens: each model is good at some of them. */
function logsOf(models: number, tokens: number, seed: number): number[][] {
  const random = new Random("tokens", seed);
  return Array.from({ length: tokens }, () => {
    const good = random.weighted(Array.from({ length: models }, (_, i) => i + 1));
    return Array.from({ length: models }, (_, i) => Math.log((i === good ? 0.5 : 0.05) + 0.3 * random.uniform()));
  });
}

const lossOf = (weights: ArrayLike<number>, logs: readonly (readonly number[])[]): number =>
  logs.reduce((sum, own) => sum - Math.log(own.reduce((p, log, i) => p + weights[i]! * Math.exp(log), 0)), 0);

const columns = (logs: readonly (readonly number[])[]): Float64Array[] =>
  logs[0]!.map((_, i) => Float64Array.from(logs, (own) => -own[i]!));

test.each([2, 3, 5])("Bayes: never more than ln m above the best of %p models", (models) => {
  for (const seed of [1, 2, 3]) {
    const mixture = new UniversalMixture(models, { ...UNIVERSAL, kind: "bayes" });
    const losses = new Array<number>(models).fill(0);
    let own = 0;
    for (const logs of logsOf(models, 300, seed)) {
      own -= mixture.observe(logs);
      for (const [i, log] of logs.entries()) losses[i]! -= log;
      expect(own).toBeLessThanOrEqual(Math.min(...losses) + Math.log(models) + 1e-9);
    }
  }
});

// The bound's constant for Dirichlet(1/2): ln(Gamma(1/2)^m / Gamma(m/2)), and ln 2 for the corners of the simplex.
test.each([
  [2, Math.log(Math.PI)],
  [3, Math.log(2 * Math.PI)],
])(
  "universal: at most (m - 1) / 2 ln T and a constant above the best constant mixture of %p models",
  (models, rest) => {
    for (const seed of [1, 2, 3]) {
      const mixture = new UniversalMixture(models);
      const all = logsOf(models, 400, seed);
      let own = 0;
      for (const logs of all) own -= mixture.observe(logs);
      const best = lossOf(bestConstantMixture(columns(all)), all);
      expect(own - best).toBeLessThan(((models - 1) / 2) * Math.log(400) + rest + Math.log(2));
      expect(own).toBeGreaterThan(best);
    }
  },
);

test("a mixture that no single model reaches is found, where Bayes takes one model", () => {
  const all = logsOf(2, 400, 4);
  const losses = columns(all);
  const singles = losses.map((own) => own.reduce((a, b) => a + b, 0));
  const { weights, effective } = mixtureAfter(losses);
  expect(lossOf(weights, all)).toBeLessThan(Math.min(...singles) - 20);
  expect(effective).toBeGreaterThan(20);
  const bayes = mixtureAfter(losses, { ...UNIVERSAL, kind: "bayes" }).weights;
  expect(Math.max(...bayes)).toBeGreaterThan(0.999);
});

test("models that always agree have equal weights, exactly", () => {
  for (const kind of ["universal", "bayes"] as const) {
    const mixture = new UniversalMixture(3, { ...UNIVERSAL, kind });
    for (const logs of [
      [-1, -1, -1],
      [-7, -7, -7],
    ])
      mixture.observe(logs);
    for (const weight of mixture.weights()) expect(weight).toBeCloseTo(1 / 3, 12);
  }
});

test("with two models and one token the universal weights are what the integral says", () => {
  // x = (1, 0): b S(b) has the mean E[b^2] / E[b] = (3/8) / (1/2) under Dirichlet(1/2, 1/2)
  const mixture = new UniversalMixture(2, { ...UNIVERSAL, samples: 20_000 });
  mixture.observe([0, Number.NEGATIVE_INFINITY]);
  expect(mixture.weights()[0]!).toBeCloseTo(0.75, 2);
});

test("a discount forgets: after a change the new best model has more weight", () => {
  const weightOf = (discount: number) => {
    const mixture = new UniversalMixture(2, { ...UNIVERSAL, discount });
    for (let t = 0; t < 200; t++) mixture.observe(t < 150 ? [-1, -2] : [-2, -1]);
    return mixture.weights()[1]!;
  };
  expect(weightOf(1)).toBeLessThan(0.3);
  expect(weightOf(0.9)).toBeGreaterThan(0.8);
});

test("tokens that no model thought possible change nothing, and corners that are all ruled out begin anew", () => {
  const mixture = new UniversalMixture(2, { ...UNIVERSAL, kind: "bayes" });
  mixture.observe([-1, -3]);
  const before = mixture.weights();
  expect(mixture.observe([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY])).toBe(Number.NEGATIVE_INFINITY);
  expect(mixture.weights()).toEqual(before);
  mixture.observe([0, Number.NEGATIVE_INFINITY]);
  mixture.observe([Number.NEGATIVE_INFINITY, 0]);
  expect([...mixture.weights()]).toEqual([0.5, 0.5]);
});

test("the best constant mixture is better than any near it", () => {
  const all = logsOf(3, 200, 9);
  const best = bestConstantMixture(columns(all));
  const least = lossOf(best, all);
  expect(best.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
  for (const [i, j] of [
    [0, 1],
    [1, 2],
    [2, 0],
  ] as const) {
    const moved = Float64Array.from(best);
    const step = Math.min(0.01, moved[i]!);
    moved[i]! -= step;
    moved[j]! += step;
    expect(lossOf(moved, all)).toBeGreaterThanOrEqual(least - 1e-6);
  }
});
