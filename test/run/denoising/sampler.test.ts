/** Draws of a denoiser beside the same steps in float64; distances of samples by hand. */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { normals as drawn, StepDraws } from "../../../src/run/denoising/draws.ts";
import { energyDistance } from "../../../src/run/denoising/energy-distance.ts";
import { levelGrid } from "../../../src/run/denoising/levels.ts";
import { type Denoise, VectorSampler } from "../../../src/run/denoising/sampler.ts";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = await sharedGpu();
const NOISE = { frequencies: 1, low: 0.01, high: 5, data: 0.5 };
/** The best denoiser of rows about 0 with deviation 0.5. */
const share = (sigma: number) => 0.25 / (0.25 + sigma ** 2);
const best: Denoise = (rec, x, sigma) => scale(rec, x, share(sigma));
const options = { width: 2, noise: NOISE, classes: 0, controls: 0, seed: 3 };
const NONE = new Int32Array(5);

const noiseOf = (row: number, count: number) => {
  const random = new Random(3, "sample", row);
  return Array.from({ length: count }, () => random.normal());
};

test.each(["euler", "heun", "consistency"] as const)("%s goes down the levels as written", async (sampler) => {
  const steps = 4;
  const drawing = new VectorSampler(gpu, best, { ...options, sampler, steps });
  const rows = await drawing.draw({ first: 0, labels: NONE });
  drawing.free();
  const grid = levelGrid(sampler === "consistency" ? steps + 1 : steps, NOISE)
    .slice(sampler === "consistency" ? 1 : 0)
    .reverse();
  const noise = noiseOf(4, 8);
  const z = (i: number) => noise[2 * i]!;
  let x = grid[0]! * z(0);
  for (const [i, t] of grid.entries()) {
    const next = grid[i + 1] ?? 0;
    const slope = (at: number, sigma: number) => (at - share(sigma) * at) / sigma;
    const euler = x + (next - t) * slope(x, t);
    if (sampler === "consistency") {
      x = share(t) * x;
      if (next > 0) x += Math.sqrt(next ** 2 - 0.01 ** 2) * z(i + 1);
    } else if (sampler === "heun" && next > 0) x += ((next - t) * (slope(x, t) + slope(euler, next))) / 2;
    else x = euler;
  }
  expect(rows[8]).toBeCloseTo(x, 5);
});

test("one step of each is what the model says of noise; rows do not depend on those beside them", async () => {
  for (const sampler of ["euler", "heun", "consistency"] as const) {
    const drawing = new VectorSampler(gpu, best, { ...options, sampler, steps: 1 });
    const rows = await drawing.draw({ first: 0, labels: NONE });
    expect(rows[6]).toBeCloseTo(share(5) * 5 * noiseOf(3, 1)[0]!, 6);
    const later = await drawing.draw({ first: 3, labels: NONE.subarray(0, 2) });
    expect([...later]).toEqual([...rows.subarray(6)]);
    drawing.free();
  }
});

test("many steps of the best denoiser end with the deviation of rows", async () => {
  const drawing = new VectorSampler(gpu, best, { ...options, sampler: "heun", steps: 12 });
  const rows = await drawing.draw({ first: 0, labels: new Int32Array(400) });
  drawing.free();
  const squares = rows.reduce((sum, v) => sum + v ** 2, 0) / rows.length;
  expect(Math.abs(Math.sqrt(squares) - 0.5)).toBeLessThan(0.04);
});

test("energy distance: by hand, near 0 for one distribution, above it for others", () => {
  expect(energyDistance([[0], [2]], [[1], [5]])).toBe(2 * ((1 + 5 + 1 + 3) / 4) - 2 - 4);
  const sample = (key: string, shift: number) => {
    const random = new Random(1, key);
    return Array.from({ length: 300 }, () => [random.normal() + shift, random.normal()]);
  };
  const same = energyDistance(sample("a", 0), sample("b", 0));
  expect(Math.abs(same)).toBeLessThan(0.02);
  expect(energyDistance(sample("a", 0), sample("b", 1))).toBeGreaterThan(0.2);
  expect(energyDistance([[1]], [[1]])).toBeNaN();
});

test("draws of a step are those of its number, however many came before", () => {
  const [a, b] = [new StepDraws(1, "x"), new StepDraws(1, "x")];
  a.begin(1);
  a.next();
  a.begin(2);
  const [first, second] = [a.next(), a.next()].map((random) => [...drawn(random, 2)]);
  b.begin(2);
  expect([b.next(), b.next()].map((random) => [...drawn(random, 2)])).toEqual([first!, second!]);
  expect(first).not.toEqual(second);
  expect([...drawn(a.fixed(["r:1"]), 2)]).toEqual([...drawn(b.fixed(["r:1"]), 2)]);
});
