/** Masks of sparse training: densities that add up, places that move, and laws of the rule that trains them. */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { BitMask } from "../../../src/run/sparsity/bit-mask.ts";
import { layerCounts } from "../../../src/run/sparsity/densities.ts";
import { type Grow, movedShare, regrow } from "../../../src/run/sparsity/regrow.ts";
import { SparseTraining } from "../../../src/run/training/rules/sparse-training.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const maskOf = (size: number, on: readonly number[]) => {
  const mask = new BitMask(size);
  for (const i of on) mask.set(i, true);
  return mask;
};

test("a mask counts and lists its places, and draws so many of them", () => {
  const mask = maskOf(70, [0, 31, 32, 63, 69]);
  expect([mask.count, [...mask.places()]]).toEqual([5, [0, 31, 32, 63, 69]]);
  mask.set(31, false);
  mask.add(maskOf(70, [1, 69]));
  expect([...mask.places()]).toEqual([0, 1, 32, 63, 69]);
  const seen = new Set<number>();
  for (let seed = 0; seed < 40; seed++) {
    mask.draw(9, seed);
    expect(mask.count).toBe(9);
    for (const i of mask.places()) seen.add(i);
  }
  expect(seen.size).toBe(70);
  mask.draw(70, 0);
  expect(mask.count).toBe(70);
  expect(() => mask.draw(71, 0)).toThrow("71 of 70");
});

test("densities add up: uniform ones are one, ERK's follow the sum of dimensions over their product", () => {
  const shapes = [
    [64, 32],
    [32, 32],
    [8, 4],
  ];
  const sizes = [2048, 1024, 32];
  expect(layerCounts(shapes, 0.25, "uniform")).toEqual([512, 256, 8]);
  const counts = layerCounts(shapes, 0.25, "erk");
  expect(Math.abs(counts.reduce((a, b) => a + b) - 776)).toBeLessThanOrEqual(2);
  // The smallest is full; of the others densities are as 96 / 2048 to 64 / 1024.
  expect(counts[2]).toBe(32);
  expect(counts[0]! / sizes[0]! / (counts[1]! / sizes[1]!)).toBeCloseTo(96 / 2048 / (64 / 1024), 2);
  expect(layerCounts(shapes, 1, "erk")).toEqual(sizes);
  // A share so small that a layer would have none.
  expect(layerCounts([[4, 4]], 0.001, "uniform")).toEqual([1]);
});

test("the share that moves falls along a cosine, and is 0 from the end on", () => {
  expect(movedShare(0.4, 0, 100)).toBeCloseTo(0.4, 12);
  expect(movedShare(0.4, 50, 100)).toBeCloseTo(0.2, 12);
  expect([movedShare(0.4, 100, 100), movedShare(0.4, 0, 0)]).toEqual([0, 0]);
});

test("the smallest go, others' places stay, and each rule grows where it says", () => {
  const weights = [5, 0.1, -0.2, 3, 0, 0, 0, 0, 0.05, 0];
  const scores = [9, 9, 9, 9, 1, -7, 2, 9, 9, 3];
  const given = (grow: Grow) => ({
    ...{ share: 0.5, grow, weights, scores, random: new Random("test", grow) },
    mask: maskOf(10, [0, 1, 2, 3, 8]),
    taken: maskOf(10, [8, 7]), // 8 is had, too, and small; 7 is free for nobody
    fired: maskOf(10, [0, 1, 2, 3, 4, 5, 8]),
  });
  for (const grow of ["random", "gradient", "momentum", "unfired"] as const) {
    const own = given(grow);
    expect(regrow(own)).toEqual([1, 2]);
    expect([own.mask.count, own.mask.has(7), own.mask.has(8), own.mask.has(1)]).toEqual([5, false, true, false]);
    const grown = [...own.mask.places()].filter((i) => ![0, 3, 8].includes(i));
    if (grow === "gradient" || grow === "momentum") expect(grown).toEqual([5, 9]);
    if (grow === "unfired") expect(grown).toEqual([6, 9]);
    expect(grown.every((i) => own.fired.has(i))).toBe(true);
  }
  // No more move than there is room for.
  const full = { ...given("random"), mask: maskOf(10, [0, 1, 2, 3, 4, 5, 6, 8]) };
  expect(regrow(full)).toHaveLength(1);
});

test("so many weights are there at every step; others stay to the bit, and none of their gradient is left", async () => {
  const gpu = await sharedGpu();
  const parameter = new Parameter(gpu, "w", [10, 12]);
  for (const grow of ["random", "gradient", "momentum", "unfired"] as const) {
    const [mask, taken, fired] = [new BitMask(120), maskOf(120, [3, 40, 41]), new BitMask(120)];
    const frozen = [3, 40, 41];
    const rule = new SparseTraining(gpu, [{ parameter, mask, taken, fired }], {
      ...{ grow, share: 0.5, every: 2, until: () => 9, seed: 1, name: "sparse" },
      async begin() {
        mask.draw(30, "begin");
        for (const i of frozen) mask.set(i, true);
        const values = normals(7, 120).map((x, i) => (mask.has(i) ? x : 0));
        parameter.write(values);
      },
    });
    let moved = 0;
    for (let step = 1; step <= 10; step++) {
      await rule.ahead(step);
      const before = await gpu.readFloats(parameter.buffer, 120);
      const places = [...mask.places()];
      gpu.write(parameter.gradient, 0, new Uint8Array(normals(step, 120).buffer));
      await rule.before(step);
      const gradient = await gpu.readFloats(parameter.gradient, 120);
      const now = await gpu.readFloats(parameter.buffer, 120);
      gpu.write(parameter.buffer, 0, new Uint8Array(now.map((x) => x - 0.1).buffer)); // a step of all weights
      await rule.after(step);
      const after = await gpu.readFloats(parameter.buffer, 120);
      expect(mask.count).toBe(places.length);
      if ([...mask.places()].join() !== places.join()) moved++;
      for (let i = 0; i < 120; i++) {
        const trained = mask.has(i) && !taken.has(i);
        expect(gradient[i] === 0).toBe(!trained);
        expect(after[i]).toBe(trained ? Math.fround(now[i]! - 0.1) : frozen.includes(i) ? before[i]! : 0);
        if (trained && !places.includes(i)) expect(now[i]).toBe(0);
      }
    }
    expect(moved).toBe(3); // at 2, 4, 6; at 8 the share is less than half a weight
    rule.free();
  }
  parameter.free();
});
