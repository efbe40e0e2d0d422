import { describe, expect, test } from "bun:test";
import { paretoGradient, paretoWeights } from "../../../src/run/training/pareto-weights.ts";
import { normals } from "../../support/random.ts";

const gramOf = (gradients: readonly ArrayLike<number>[]) =>
  gradients.map((a) => gradients.map((b) => Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0)));

const through = (gram: readonly (readonly number[])[], w: readonly number[]) =>
  gram.map((row) => row.reduce((sum, value, i) => sum + value * w[i]!, 0));

/** The best of many points of the simplex, for a lower bound of what the program finds. */
function searched(m: number, gain: (w: readonly number[]) => number, feasible: (w: readonly number[]) => boolean) {
  let best = Number.NEGATIVE_INFINITY;
  const visit = (w: number[], left: number) => {
    if (w.length === m - 1) {
      const whole = [...w, left];
      if (feasible(whole)) best = Math.max(best, gain(whole));
      return;
    }
    for (let part = 0; part <= left + 1e-9; part += 1 / 40) visit([...w, part], left - part);
  };
  visit([], 1);
  return best;
}

describe("descent", () => {
  test("no objective is sacrificed, and no other point of the simplex gains more", () => {
    for (let seed = 0; seed < 30; seed++) {
      const gradients = [0, 1, 2].map((j) => normals(10 * seed + j, 4).map((value) => value * 10 ** (j - 1)));
      const gram = gramOf(gradients);
      const w = paretoWeights(gram);
      const scale = Math.max(...gram.map((row, j) => row[j]!));
      expect(w.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      expect(Math.min(...w, ...through(gram, w).map((value) => value / scale))).toBeGreaterThan(-1e-6);
      const gain = (at: readonly number[]) => through(gram, at).reduce((a, b) => a + b, 0);
      const feasible = (at: readonly number[]) => through(gram, at).every((value) => value >= 0);
      expect(gain(w)).toBeGreaterThanOrEqual(searched(3, gain, feasible) - 1e-6 * scale);
    }
  });

  test("two quadratics reach the Pareto set although one is a hundred times larger; equal weights do not descend", () => {
    // f_1 = 100 |x - (1, 0)|^2, f_2 = |x - (-1, 0)|^2: the Pareto set is the stretch between the two.
    const at = [0.2, 3];
    const losses = ([x, y]: readonly number[]) => [100 * ((x! - 1) ** 2 + y! ** 2), (x! + 1) ** 2 + y! ** 2];
    let before = losses(at);
    for (let step = 0; step < 4000; step++) {
      const gradients = [
        Float64Array.of(200 * (at[0]! - 1), 200 * at[1]!),
        Float64Array.of(2 * (at[0]! + 1), 2 * at[1]!),
      ];
      const { gradient } = paretoGradient(gradients);
      const length = Math.hypot(...gradient);
      const rate = Math.min(0.002, 0.01 / length);
      for (const [i, value] of gradient.entries()) at[i]! -= rate * value;
      const now = losses(at);
      // Both fall, up to the curvature of a step.
      if (step < 100) for (const [j, loss] of now.entries()) expect(loss).toBeLessThanOrEqual(before[j]! + 0.02);
      before = now;
    }
    expect(Math.abs(at[1]!)).toBeLessThan(0.05);
    expect(Math.abs(at[0]!)).toBeLessThan(1.05);
  });

  test("one objective is ordinary, a doubled one gives the same step, and gradients of 0 count alike", () => {
    expect(paretoWeights([[7]])).toEqual([1]);
    const g = [Float64Array.from(normals(1, 5)), Float64Array.from(normals(2, 5))];
    const once = paretoGradient(g).gradient;
    const twice = paretoGradient([...g, g[0]!]).gradient;
    for (const [i, value] of twice.entries()) expect(value / 3).toBeCloseTo(once[i]! / 2, 9);
    expect(
      paretoWeights([
        [0, 0],
        [0, 0],
      ]),
    ).toEqual([0.5, 0.5]);
  });
});

describe("guided", () => {
  test("what the guide wants is gained most, within what each objective may lose", () => {
    for (let seed = 0; seed < 30; seed++) {
      const gradients = [0, 1, 2].map((j) => normals(100 + 10 * seed + j, 4));
      const guide = normals(900 + seed, 4);
      const a = gradients.map((g) => g.reduce((sum, value, i) => sum + value * guide[i]!, 0));
      const gram = gramOf(gradients);
      const w = paretoWeights(gram, a);
      const most = a.indexOf(Math.max(...a));
      const r = a.map((value, j) => {
        if (Math.max(...a) <= 0 || j === most) return 0;
        return value > 0 ? Number.NEGATIVE_INFINITY : value;
      });
      const feasible = (at: readonly number[]) => through(gram, at).every((value, j) => value >= r[j]! - 1e-12);
      const gain = (at: readonly number[]) => at.reduce((sum, value, j) => sum + value * a[j]!, 0);
      const wanted = searched(3, gain, feasible);
      if (wanted === Number.NEGATIVE_INFINITY) continue; // too small a region for the grid
      expect(through(gram, w).every((value, j) => value >= r[j]! - 1e-6)).toBe(true);
      expect(gain(w)).toBeGreaterThanOrEqual(wanted - 1e-6);
    }
  });

  test("an objective that is the guide itself gets all the weight", () => {
    const g = [Float64Array.of(1, 0), Float64Array.of(0, 1)];
    expect(paretoGradient(g, Float64Array.of(1, 0)).weights).toEqual([1, 0]);
  });
});

test("nine objectives are too many", () => {
  expect(() => paretoWeights(Array.from({ length: 9 }, () => Array(9).fill(1)))).toThrow("at most 8");
});
