/** Smaller images against plain Fourier sums, and operations on images. */
import { describe, expect, test } from "bun:test";
import {
  changedImage,
  IMAGE_OPERATIONS,
  ORDINARY,
  randAugmented,
} from "../../../src/data/augmenting/image-operations.ts";
import { resizer } from "../../../src/data/augmenting/image-sizes.ts";
import type { ImageShape } from "../../../src/data/corrupting/contract.ts";
import { Random } from "../../../src/data/random.ts";

/** An image (1, H, W) of waves of whole turns; the highest frequency is `most`. */
function waves(side: number, most: number): (place: (i: number) => number, size: number) => Float32Array {
  const random = new Random("waves", side, most);
  const terms = Array.from({ length: 6 }, () => ({
    ...{ y: random.below(2 * most + 1) - most, x: random.below(2 * most + 1) - most },
    ...{ size: random.normal(), phase: random.uniform() * 2 * Math.PI },
  }));
  return (place, size) =>
    Float32Array.from({ length: size * size }, (_, i) => {
      const [r, c] = [place(Math.floor(i / size)), place(i % size)];
      return terms.reduce(
        (sum, { y, x, size, phase }) => sum + size * Math.cos(2 * Math.PI * (y * r + x * c) + phase),
        0,
      );
    });
}

test.each([
  [8, 4],
  [12, 7],
  [9, 5],
])("low frequencies: an image of %i with nothing beyond is sampled at %i as it is", (full, side) => {
  const most = Math.ceil(side / 2) - 1;
  const image = waves(full, most);
  const cut = resizer([1, full, full], side, "fourier")(image((i) => i / full, full));
  for (const [i, value] of image((i) => i / side, side).entries()) expect(cut[i]!).toBeCloseTo(value, 5);
  // So up again from there is what it was: the way back is exact.
  const again = resizer([1, side, side], full, "fourier");
  if (side % 2 === 1)
    for (const [i, value] of image((i) => i / full, full).entries()) expect(again(cut)[i]!).toBeCloseTo(value, 5);
});

test.each(["fourier", "resize"] as const)(
  "%s: a constant stays, channels are apart, and noise loses energy",
  (crop) => {
    const shape: ImageShape = [2, 10, 10];
    const constant = Float32Array.from({ length: 200 }, (_, i) => (i < 100 ? 3 : -1));
    for (const [i, value] of resizer(shape, 6, crop)(constant).entries()) expect(value).toBeCloseTo(i < 36 ? 3 : -1, 5);
    const random = new Random("noise");
    const noise = Float32Array.from({ length: 200 }, () => random.normal());
    const power = (x: Float32Array) => x.reduce((sum, value) => sum + value ** 2, 0) / x.length;
    expect(power(resizer(shape, 5, crop)(noise))).toBeLessThan(0.6 * power(noise));
  },
);

describe("operations", () => {
  const shape: ImageShape = [2, 6, 6];
  const random = new Random("image");
  const x = Float32Array.from({ length: 72 }, () => random.uniform());

  test.each(IMAGE_OPERATIONS)("%s: nothing at amount 0, something at 1, the same for the same draw", (name) => {
    const of = (amount: number) => changedImage(name, x, { shape, amount, random: new Random("draw") });
    for (const [i, value] of of(0).entries()) expect(value).toBeCloseTo(x[i]!, 5);
    expect(of(1)).toEqual(of(1));
    expect(of(1).every(Number.isFinite)).toBe(true);
    if (name !== "identity") expect(of(1)).not.toEqual(x);
  });

  test("shifts, flips and ranges are what they say", () => {
    const columns = changedImage("flip-columns", x, { shape, amount: 1, random: new Random("draw") });
    for (const i of x.keys()) expect(columns[i]!).toBeCloseTo(x[i - (i % 6) + 5 - (i % 6)]!, 6);
    const line = Float32Array.from({ length: 100 }, (_, i) => i % 10);
    const moved = changedImage("shift-columns", line, { shape: [1, 10, 10], amount: 1, random: new Random("draw") });
    expect(new Set([...moved].map((value, i) => Math.round(Math.abs(value - (i % 10)))))).toEqual(
      new Set([3, 2, 1, 0]),
    );
    const range = [Math.min(...x), Math.max(...x)];
    for (const name of ["solarize", "posterize", "turn", "zoom"] as const) {
      const made = changedImage(name, x, { shape, amount: 0.7, random: new Random("draw") });
      expect(Math.min(...made)).toBeGreaterThanOrEqual(range[0]! - 1e-6);
      expect(Math.max(...made)).toBeLessThanOrEqual(range[1]! + 1e-6);
    }
  });

  test("RandAugment draws ordinary operations, one after the other", () => {
    expect(ORDINARY).toHaveLength(14);
    const none = randAugmented(x, { shape, count: 0, amount: 1, random: new Random("none") });
    expect(none).toBe(x);
    const far = (amount: number) =>
      Array.from({ length: 30 }, (_, i) => {
        const made = randAugmented(x, { shape, count: 2, amount, random: new Random("far", i) });
        return made.reduce((sum, value, k) => sum + Math.abs(value - x[k]!), 0);
      }).reduce((a, b) => a + b, 0);
    expect(far(0.8)).toBeGreaterThan(2 * far(0.1));
  });
});
