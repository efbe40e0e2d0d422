/** Laws of losses of mixtures: planted laws are found again, and the best mixture with them. */
import { expect, test } from "bun:test";
import { bestMixture, drawMixture, fitLaw, leftOutRanks } from "../../src/curriculum/mixture-laws.ts";
import { Random } from "../../src/data/random.ts";

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
