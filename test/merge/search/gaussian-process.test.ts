import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import {
  condition,
  fit,
  type Hyper,
  logImprovement,
  matern,
  predict,
} from "../../../src/merge/search/gaussian-process.ts";
import { choleskyFactor, solveLower, solveUpper } from "../../../src/tensor/linear-algebra/cholesky.ts";

const HYPER: Hyper = { lengths: [Math.log(0.3)], scale: 0, noise: Math.log(1e-4) };

test("a Cholesky factor times itself is the matrix, and solves systems", () => {
  const a = Float64Array.of(4, 2, 2, 2, 5, 3, 2, 3, 6);
  const l = choleskyFactor(a, 3)!;
  expect([...l]).toEqual([2, 0, 0, 1, 2, 0, 1, 1, 2]);
  const x = solveUpper(l, solveLower(l, [8, 10, 11], 3), 3);
  expect([...x]).toEqual([1, 1, 1]);
  expect(choleskyFactor(Float64Array.of(1, 2, 2, 1), 2)).toBeUndefined();
});

test("the Matern kernel, by hand", () => {
  // r = sqrt(5) at a distance of one length: (1 + sqrt 5 + 5/3) exp(-sqrt 5)
  const at1 = (1 + Math.sqrt(5) + 5 / 3) * Math.exp(-Math.sqrt(5));
  expect(matern(HYPER)([0.1], [0.4])).toBeCloseTo(at1, 12);
  expect(matern({ ...HYPER, scale: Math.log(2) })([0.1], [0.1])).toBeCloseTo(4, 12);
});

test("a process passes through its values, is unsure between them, and knows nothing far away", () => {
  const process = condition([[0], [0.5]], [1, -1], HYPER);
  expect(predict(process, [0]).mean).toBeCloseTo(1, 5);
  expect(predict(process, [0]).std).toBeLessThan(1e-3);
  expect(predict(process, [0.25]).mean).toBeCloseTo(0, 5);
  expect(predict(process, [9])).toEqual({ mean: expect.closeTo(0, 5), std: expect.closeTo(1, 5) });
});

test("points that are the same, with no noise between them, are still a process", () => {
  const same = { ...HYPER, noise: -40, scale: 4 };
  const process = condition([[0.3], [0.3], [0.3 + 1e-13], [0.9]], [1, 1, 1, 2], same);
  expect(predict(process, [0.3]).mean).toBeCloseTo(1, 3);
});

test("evidence of one value is its normal density", () => {
  const process = condition([[0]], [0.7], { ...HYPER, noise: Math.log(0.5) });
  const variance = 1.25 + 1e-10;
  expect(process.evidence).toBeCloseTo(-0.5 * (0.49 / variance) - 0.5 * Math.log(2 * Math.PI * variance), 10);
});

test("expected improvement is the mean of what is above, by quadrature", () => {
  for (const [mean, std, best] of [
    [0.3, 0.5, 0.1],
    [-1, 0.4, 0.2],
    [-3, 0.5, 0.2],
    [5, 0.1, 0],
  ] as const) {
    let sum = 0;
    const step = std / 2000;
    for (let y = Math.max(best, mean - 12 * std) + step / 2; y < Math.max(best, mean) + 12 * std; y += step)
      sum += ((y - best) * step * Math.exp(-0.5 * ((y - mean) / std) ** 2)) / (std * Math.sqrt(2 * Math.PI));
    expect(Math.exp(logImprovement({ mean, std }, best)) / sum).toBeCloseTo(1, 5);
  }
});

test("the far tail still ranks candidates", () => {
  const near = logImprovement({ mean: 0, std: 0.01 }, 1);
  const far = logImprovement({ mean: 0, std: 0.005 }, 1);
  expect(Number.isFinite(far)).toBe(true);
  expect(near).toBeGreaterThan(far);
  const [left, right] = [logImprovement({ mean: -3 + 1e-9, std: 1 }, 0), logImprovement({ mean: -3, std: 1 }, 0)];
  expect(left).toBeCloseTo(right, 6);
});

test("the fitted lengths find which coordinate matters", () => {
  const random = new Random("gp");
  const points = Array.from({ length: 30 }, () => [random.uniform(), random.uniform()]);
  const raw = points.map(([x]) => Math.sin(9 * x!));
  const { hyper } = fit(points, raw, { seed: 1 });
  expect(Math.exp(hyper.lengths[0]!)).toBeLessThan(0.7);
  expect(hyper.lengths[1]! - hyper.lengths[0]!).toBeGreaterThan(1);
  expect(fit(points, raw, { seed: 1 }).hyper).toEqual(hyper);
});
