/** Laws of losses of mixtures: planted laws are found again, and the best mixture with them. */
import { expect, test } from "bun:test";
import { Random } from "../../src/data/random.ts";
import {
  bestMixture,
  drawMixture,
  dynamicLaw,
  explained,
  exponentialLaw,
  fitLaw,
  leftOutError,
  leftOutRanks,
  probeMixture,
} from "../../src/run/mixture-laws.ts";

const random = new Random(3, "laws");
const draw = () => drawMixture([0.5, 0.3, 0.2], [0.3, 5], random);
const trained = Array.from({ length: 40 }, draw);
const fresh = Array.from({ length: 50 }, draw);

/** The least at (.2, .5, .3), away from every corner. */
const bowl = (p: readonly number[]) => 2 + [0.2, 0.5, 0.3].reduce((sum, at, i) => sum + (1 + i) * (p[i]! - at) ** 2, 0);
const planted = (p: readonly number[]) => 1.2 + Math.exp(0.4 - 2 * p[0]! + 0.5 * p[1]! - 1 * p[2]!);

test("mixtures are mixtures, on average around the shares, and nearer to them the stronger", () => {
  const mean = (list: readonly number[][], i: number) => list.reduce((sum, p) => sum + p[i]!, 0) / list.length;
  const of = (strength: number) => {
    const own = new Random(1, "strength", strength);
    return Array.from({ length: 3000 }, () => drawMixture([0.5, 0.3, 0.2], [strength, strength], own));
  };
  const [loose, tight] = [of(0.2), of(20)];
  for (const list of [loose, tight]) {
    for (const p of list) expect(Math.abs(p.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-12);
    // The standard deviation of a share is sqrt(m (1 - m) / (1 + strength * 3)), .4 at most.
    for (const [i, share] of [0.5, 0.3, 0.2].entries())
      expect(Math.abs(mean(list, i) - share)).toBeLessThan((4 * 0.4) / Math.sqrt(3000));
  }
  const spread = (list: readonly number[][]) => list.reduce((sum, p) => sum + (p[0]! - 0.5) ** 2, 0) / list.length;
  expect(spread(loose) / (0.25 / 1.6)).toBeCloseTo(1, 0);
  expect(spread(tight) / (0.25 / 61)).toBeCloseTo(1, 0);
});

test.each([
  ["quadratic", bowl],
  ["exponential", planted],
] as const)("a planted %s law is found from 40 trainings, and ranks those that are left out", (name, truth) => {
  const law = fitLaw(name, trained, trained.map(truth), 1e-8);
  for (const p of fresh) expect(Math.abs(law(p) - truth(p))).toBeLessThan(2e-3);
  expect(leftOutRanks(name, trained, trained.map(truth), 1e-8)).toBeGreaterThan(0.99);
});

test("noise has no ranks to foretell", () => {
  const noise = trained.map(() => 1 + random.uniform());
  expect(Math.abs(leftOutRanks("quadratic", trained, noise, 0.1))).toBeLessThan(0.5);
  expect(leftOutRanks("quadratic", trained.slice(0, 2), [1, 2], 0.1)).toBeNaN();
});

test("the mean of the best candidates is near the least of the law", () => {
  const { mixture, foretold } = bestMixture(bowl, { draw, count: 5000, best: 20 });
  for (const [i, at] of [0.2, 0.5, 0.3].entries()) expect(Math.abs(mixture[i]! - at)).toBeLessThan(0.03);
  expect(foretold).toBeCloseTo(2, 2);
  expect(bestMixture(bowl, { draw: () => [1, 0, 0], count: 3, best: 2 }).mixture).toEqual([1, 0, 0]);
});

test("parameters of a planted exponential law are found", () => {
  const { floor, level, rates } = exponentialLaw(trained, trained.map(planted), 1e-8);
  expect(floor).toBeCloseTo(1.2, 1);
  // Shares sum to 1: the level and a constant of the rates are one.
  for (const [j, rate] of [-2, 0.5, -1].entries()) expect(Math.abs(level + rates[j]! - 0.4 - rate)).toBeLessThan(0.05);
});

test("rates of a linear law are those of Aioli's probes, which they explain wholly", () => {
  const truth = [0.3, -0.1, 0.6];
  const drop = (p: readonly number[]) => truth.reduce((sum, rate, j) => sum + rate * p[j]!, 0);
  const probes = [0, 1, 2].map((group) => probeMixture(3, group, 0.5));
  const { rates, law } = dynamicLaw(probes, probes.map(drop), 1e-9);
  for (const [j, rate] of truth.entries()) expect(rates[j]).toBeCloseTo(rate, 6);
  expect(explained(fresh.map(law), fresh.map(drop))).toBeCloseTo(1, 9);
  expect(explained([1, 1], [1, 1])).toBeNaN();
  expect(leftOutError((p, v) => dynamicLaw(p, v, 1e-9).law, trained, trained.map(drop))).toBeLessThan(1e-6);
});

test("of softmax regression in small steps the rates are the inner products of gradients", () => {
  // Three groups whose rows point in directions that partly overlap, three classes, weights 3 x 3 at zero.
  const width = 3;
  const rows = Array.from({ length: 60 }, (_, i) => {
    const group = i % 3;
    const x = Array.from({ length: width }, (_, d) => (d === group ? 1 : 0.3) + 0.4 * (random.uniform() - 0.5));
    return { group, x, label: random.uniform() < 0.8 ? group : (group + 1) % 3 };
  });
  const own = (group: number) => rows.filter((row) => row.group === group);
  const chances = (w: readonly number[], x: readonly number[]) => {
    const z = [0, 1, 2].map((c) => Math.exp(x.reduce((sum, value, d) => sum + value * w[c * width + d]!, 0)));
    return z.map((value) => value / z.reduce((a, b) => a + b, 0));
  };
  const loss = (w: readonly number[], group: number) =>
    own(group).reduce((sum, { x, label }) => sum - Math.log(chances(w, x)[label]!), 0) / own(group).length;
  const gradient = (w: readonly number[], group: number) =>
    w.map((_, at) => {
      const [c, d] = [Math.floor(at / width), at % width];
      return (
        own(group).reduce((sum, { x, label }) => sum + (chances(w, x)[c]! - Number(c === label)) * x[d]!, 0) /
        own(group).length
      );
    });
  const zero = Array.from({ length: 9 }, () => 0);
  const gradients = [0, 1, 2].map((group) => gradient(zero, group));
  const drops = (lr: number, mixture: readonly number[]) => {
    const w = zero.map((_, at) => -lr * mixture.reduce((sum, p, j) => sum + p * gradients[j]![at]!, 0));
    return [0, 1, 2].map((group) => loss(zero, group) - loss(w, group));
  };
  const found = [0, 1, 2].map((group) => {
    const values = trained.map((mixture) => drops(0.01, mixture)[group]!);
    const { rates, law } = dynamicLaw(trained, values, 1e-9);
    expect(explained(trained.map(law), values)).toBeGreaterThan(0.95);
    return rates;
  });
  const truth = gradients.map((a) => gradients.map((b) => 0.01 * a.reduce((sum, x, at) => sum + x * b[at]!, 0)));
  expect(explained(found.flat(), truth.flat())).toBeGreaterThan(0.95);
});
