/** Losses of rows that weigh by their own size, on the GPU against float64. */
import { describe, expect, test } from "bun:test";
import { focal, leftOutOf, lossWeights } from "../../src/curriculum/loss-weights.ts";
import { addScalar } from "../../src/tensor/ops/elementwise.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, hardware, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { KINDS, type Kind, weightsBy, worst } from "./by-loss.ts";

const gpu = await sharedGpu();
const PROFILES = [
  ["here", undefined],
  ["as on a real GPU", hardware],
] as const;

const weigh = async (
  kind: Kind,
  losses: ArrayLike<number>,
  inverse_r: number,
  profile?: typeof hardware,
  counted?: readonly number[],
): Promise<number[]> => {
  const { outputs } = await runOp(gpu, {
    inputs: {
      l: { shape: [losses.length], data: Float32Array.from(losses) },
      out: { shape: [losses.length], data: leftOutOf(Float32Array.from(losses, (_, i) => counted?.[i] ?? 1)) },
    },
    build: (rec, { l, out }) => lossWeights(rec, l!, out!, kind),
    values: { inverse_r },
    ...(profile ? { profile } : {}),
  });
  return [...outputs.y!];
};
describe.each(KINDS)("weights by loss, %s", (kind) => {
  test.each(PROFILES)("are those of the formula for every number of rows, %s", async (_, profile) => {
    for (const rows of [1, 2, 3, 16, 255, 257]) {
      const losses = normals(rows, rows, 0.7, 2.5);
      for (const inverse of [0, 1, 2.5]) {
        const got = await weigh(kind, losses, inverse, profile);
        expect(worst(got, weightsBy(kind, losses, inverse)) * rows).toBeLessThan(2e-5);
      }
    }
  });

  test("are exactly uniform as r goes to infinity, and where all losses are equal", async () => {
    for (const rows of [2, 4, 16, 64]) {
      const uniform = new Array(rows).fill(1 / rows);
      expect(await weigh(kind, normals(rows, rows, 1, 3), 0)).toEqual(uniform);
      expect(await weigh(kind, new Array(rows).fill(1.7), 2)).toEqual(uniform);
    }
  });

  test("stay the same when losses are scaled and shifted", async () => {
    const losses = normals(5, 24, 0.5, 2);
    const moved = losses.map((loss) => 3 * loss + 0.75);
    expect(worst(await weigh(kind, moved, 2), await weigh(kind, losses, 2)) * 24).toBeLessThan(1e-5);
  });

  test("rows without a loss weigh nothing, and the others as if these were not there", async () => {
    const losses = [2.5, 0, 1.2, 3.1, 0, 0.7];
    const counted = [4, 0, 3, 9, 0, 1];
    for (const inverse of [0, 2]) {
      const all = await weigh(kind, losses, inverse, undefined, counted);
      const known = losses.filter((_, i) => counted[i]! > 0);
      const expected = weightsBy(kind, known, inverse);
      expect(
        worst(
          all,
          losses.map((_, i) => (counted[i]! > 0 ? expected.shift()! : 0)),
        ),
      ).toBeLessThan(1e-6);
      // Where no row has a loss all weigh alike, and none of them counts.
      expect(await weigh(kind, [0, 0], inverse, undefined, [0, 0])).toEqual([0.5, 0.5]);
    }
  });

  test("take no gradient", async () => {
    const { gradients } = await runOp(gpu, {
      inputs: {
        l: { shape: [5], data: normals(2, 5, 1, 2), grad: true },
        out: { shape: [5], data: new Float32Array(5) },
      },
      build: (rec, { l, out }) => lossWeights(rec, l!, out!, kind),
      seeds: { y: new Float32Array(5).fill(1) },
      values: { inverse_r: 2 },
    });
    expect(gradients.l ?? new Float32Array(5)).toEqual(new Float32Array(5));
  });
});

test("linupper weighs all rows above mid-range alike, and rows below less", async () => {
  const losses = [1, 1.5, 2, 2.999, 3.001, 3.5, 4, 5];
  const weights = await weigh("linupper", losses, 2);
  const above = weights.slice(4);
  expect(above).toEqual(new Array(4).fill(above[0]));
  expect(weights.slice(0, 4).every((weight, i) => weight < weights[i + 1]!)).toBe(true);
});

describe("focal", () => {
  test.each(PROFILES)("value and gradient, %s", async (_, profile) => {
    for (const gamma of [0.5, 1, 2, 3]) {
      await checkOp(gpu, "focal", {
        inputs: { l: { shape: [7], data: Float32Array.of(0.05, 0.3, 0.69, 1.2, 2.5, 5, 12) } },
        build: (rec, { l }) => focal(rec, l!, gamma),
        reference: ({ l }) => l!.map((loss) => (1 - Math.exp(-loss)) ** gamma * loss),
        forward: 1e-5,
        backward: 2e-5,
        ...(profile ? { profile } : {}),
      });
    }
  });

  test("gamma 0 leaves losses as they are, and a loss of 0 stays 0 with a finite gradient", async () => {
    const data = Float32Array.of(0, 1e-8, 3);
    const at = (gamma: number) =>
      runOp(gpu, {
        inputs: { l: { shape: [3], data, grad: true } },
        build: (rec, { l }) => addScalar(rec, focal(rec, l!, gamma), 0),
        ...(gamma > 0 ? { seeds: { y: Float32Array.of(1, 1, 1) } } : {}),
      });
    expect((await at(0)).outputs.y).toEqual(data);
    const { outputs, gradients } = await at(2);
    expect(outputs.y![0]).toBe(0);
    expect(gradients.l!.every(Number.isFinite)).toBe(true);
  });
});
