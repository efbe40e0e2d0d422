/** Draws of a denoiser beside the same steps in float64; distances of samples by hand. */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { normals as drawn, StepDraws } from "../../../src/run/denoising/draws.ts";
import { energyDistance } from "../../../src/run/denoising/energy-distance.ts";
import { levelGrid } from "../../../src/run/denoising/levels.ts";
import { type Denoise, mixed, switched, VectorSampler } from "../../../src/run/denoising/sampler.ts";
import { add, mul, scale } from "../../../src/tensor/ops/elementwise.ts";
import { linear } from "../../../src/tensor/ops/linear.ts";
import { softmax } from "../../../src/tensor/ops/softmax.ts";
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

/** The best denoiser of rows whose value `of` is 0.5 and whose other one is about 0 with deviation 0.5. */
const knowing =
  (of: 0 | 1): Denoise =>
  (rec, x, sigma) => {
    const of0 = (a: number, b: number) => rec.constant(Float32Array.of(...(of === 0 ? [a, b] : [b, a])), [1, 2], "c");
    return add(rec, mul(rec, x, of0(0, share(sigma))), of0(0.5, 0));
  };

test("two models: the same one twice is that model, bit for bit; turns go by level; a mixture obeys both", async () => {
  const draw = async (denoise: Denoise, steps = 6) => {
    const drawing = new VectorSampler(gpu, denoise, { ...options, sampler: "heun", steps });
    const rows = await drawing.draw({ first: 0, labels: new Int32Array(200) });
    drawing.free();
    return rows;
  };
  const one = await draw(best);
  expect([...(await draw(mixed(best, best, 0.3)))]).toEqual([...one]);
  expect([...(await draw(switched(best, best, 0.5)))]).toEqual([...one]);
  expect([...(await draw(switched(best, knowing(0), 0.001)))]).toEqual([...one]);
  const both = (rows: Float32Array) => {
    let count = 0;
    for (let i = 0; i < rows.length; i += 2) if (rows[i]! > 0.1 && rows[i + 1]! > 0.1) count++;
    return count / 200;
  };
  const [a, b, together] = [
    await draw(knowing(0)),
    await draw(knowing(1)),
    await draw(mixed(knowing(0), knowing(1), 0.5)),
  ];
  expect(both(together)).toBeGreaterThan(Math.max(both(a), both(b)) + 0.2);
});

test("drafts go through the last levels alone; with all of them they are forgotten", async () => {
  const drafts = Float32Array.from({ length: 10 }, (_, i) => 0.1 * i - 0.4);
  const draw = async (last: number | undefined) => {
    const drawing = new VectorSampler(gpu, best, { ...options, sampler: "euler", steps: 5, last });
    const rows = await drawing.draw({ first: 0, labels: NONE, drafts });
    drawing.free();
    return rows;
  };
  expect([...(await draw(5))]).toEqual([...(await draw(undefined))]);
  // The last two levels by hand.
  const [to, from] = levelGrid(5, NOISE);
  let x = drafts[8]! + from! * noiseOf(4, 1)[0]!;
  x += ((to! - from!) * (x - share(from!) * x)) / from!;
  expect((await draw(2))[8]).toBeCloseTo(share(to!) * x, 5);
  const away = async (last: number) => (await draw(last)).reduce((sum, v, i) => sum + Math.abs(v - drafts[i]!), 0);
  expect(await away(1)).toBeLessThan(await away(5));
});

/** Modes on a circle, and the best denoiser of rows about them with deviation 0.05. */
const MODES = Array.from({ length: 8 }, (_, k) => [
  0.7 * Math.cos((k * Math.PI) / 4),
  0.7 * Math.sin((k * Math.PI) / 4),
]);
const ofModes: Denoise = (rec, x, sigma) => {
  const variance = 0.05 ** 2 + sigma ** 2;
  const modes = rec.constant(Float32Array.from(MODES.flat()), [8, 2], "modes");
  const likely = softmax(rec, linear(rec, x, modes, { scale: 1 / variance })); // (B, 8)
  const near = linear(rec, likely, modes, { transposed: true });
  return add(rec, scale(rec, x, 0.05 ** 2 / variance), scale(rec, near, sigma ** 2 / variance));
};

test("the more levels refine a draft, the nearer it comes to rows, at a part of the steps", async () => {
  const random = new Random(2, "rows");
  const rows = Array.from({ length: 240 }, (_, i) => MODES[i % 8]!.map((v) => v + 0.05 * random.normal()));
  const drafts = Float32Array.from({ length: 480 }, () => 0.45 * random.normal());
  const distances: number[] = [];
  for (const last of [0, 5, 8, 16]) {
    const drawing = new VectorSampler(gpu, ofModes, { ...options, sampler: "heun", steps: 16, last });
    const found = last === 0 ? drafts : await drawing.draw({ first: 0, labels: new Int32Array(240), drafts });
    drawing.free();
    const split = Array.from({ length: 240 }, (_, i) => found.subarray(2 * i, 2 * i + 2));
    distances.push(energyDistance(split, rows));
  }
  const [draft = 0, few = 0, half = 0, full = 0] = distances;
  expect(draft).toBeGreaterThan(few + 0.005);
  expect(few).toBeGreaterThan(half);
  expect(half - full).toBeLessThan(draft / 2);
});
