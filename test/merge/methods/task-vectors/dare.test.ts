/** DARE: which entries survive, and what they are scaled by. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method } from "../../../../src/merge/methods/task-vectors/dare-linear.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { writtenBy } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const SIZE = 20_000;
const options = { weight: [1], lambda: 1, int8_mask: false, normalize: false, rescale: true };

async function survivors(
  density: number,
  rescale_norm: "l1" | "l2" | "linf" | "inverse-density",
  seed = 0,
  name = "w",
) {
  const base = new Float32Array(SIZE);
  const model = normals(1, SIZE);
  const values = { ...options, density: [density], rescale_norm };
  const given = { base, models: [model], values, name, settings: { seed, chunkValues: 4096 } };
  const written = await writtenBy(gpu, method, given);
  return { model, written, kept: [...written.keys()].filter((i) => written[i] !== 0) };
}

test("each entry survives with the given probability", async () => {
  for (const density of [0.1, 0.5, 0.9]) {
    const { kept } = await survivors(density, "l1");
    expect(Math.abs(kept.length - density * SIZE)).toBeLessThan(5 * Math.sqrt(SIZE * density * (1 - density)));
  }
});

test("survivors are scaled alike: by 1/density, or so that the norm is kept", async () => {
  const { model, written, kept } = await survivors(0.25, "inverse-density");
  expectWithin(
    written,
    model.map((x, i) => (written[i] === 0 ? 0 : 4 * x)),
    () => 1e-6,
  );
  for (const [norm, power] of [
    ["l1", 1],
    ["l2", 2],
  ] as const) {
    const found = await survivors(0.25, norm);
    expect(found.kept).toEqual(kept);
    const sum = (x: Float32Array) => x.reduce((total, value) => total + Math.abs(value) ** power, 0);
    expect(sum(found.written) / sum(model)).toBeCloseTo(1, 4);
  }
});

test("seed and tensor choose the mask", async () => {
  const [first, again] = [await survivors(0.5, "l1", 1), await survivors(0.5, "l1", 1)];
  expect(again.kept).toEqual(first.kept);
  for (const other of [await survivors(0.5, "l1", 2), await survivors(0.5, "l1", 1, "v")]) {
    const both = new Set(first.kept).intersection(new Set(other.kept)).size;
    expect(Math.abs(both - SIZE / 4)).toBeLessThan(5 * Math.sqrt((SIZE * 3) / 16));
  }
});
