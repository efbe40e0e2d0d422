import { describe, expect, test } from "bun:test";
import { Perturbation } from "../../../src/run/training/perturbation.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { randomWordAt } from "../../support/counter-random.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("training/add-noise", "training/add-scaled", "training/add-coins");

const gpu = await sharedGpu();
const SIZES = [1, 3, 255, 257, 17000]; // the last is more than one sum of squares holds

const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const read = (buffer: GPUBuffer, count: number) => gpu.readFloats(buffer, count);
const largest = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => Math.max(a, Math.abs(b)), 0);

/** Parameters of odd sizes with weights and gradients, and what moves them. */
function world(sizes: readonly number[] = SIZES, dtype: "f32" | "bf16" = "f32") {
  const parameters = sizes.map((size, i) => {
    const parameter = new Parameter(gpu, `w${i}`, [size], dtype);
    const [weight, gradient] = [normals(2 * i + 1, size), normals(2 * i + 2, size, 3)];
    if (dtype === "f32") parameter.write(weight);
    gpu.write(parameter.gradient, 0, bytesOf(gradient));
    return { parameter, weight, gradient };
  });
  const moved = new Perturbation(
    gpu,
    parameters.map(({ parameter }) => parameter),
  );
  const free = async () => {
    await moved.free();
    for (const { parameter } of parameters) parameter.free();
  };
  return { parameters, moved, free };
}

describe("Perturbation", () => {
  test("walks a distance along the gradient, |g| being the norm over all parameters, and back bit for bit", async () => {
    const { parameters, moved, free } = world();
    const norm = Math.sqrt(parameters.reduce((sum, { gradient }) => sum + gradient.reduce((a, g) => a + g * g, 0), 0));
    moved.save();
    await moved.along(0.25);
    let walked = 0;
    for (const { parameter, weight, gradient } of parameters) {
      const now = await read(parameter.buffer, parameter.size);
      for (const [i, w] of now.entries()) {
        expect(Math.abs(w - (weight[i]! + (0.25 * gradient[i]!) / norm))).toBeLessThan(5e-7 * (1 + Math.abs(w)));
        walked += (w - weight[i]!) ** 2;
      }
    }
    expect(Math.abs(Math.sqrt(walked) - 0.25)).toBeLessThan(1e-4);
    moved.restore();
    for (const { parameter, weight, gradient } of parameters) {
      expect(await read(parameter.buffer, parameter.size)).toEqual(weight);
      expect(await read(parameter.gradient, parameter.size)).toEqual(gradient);
    }
    await free();
  });

  test("walks along gradients that were kept, not those there are", async () => {
    const { parameters, moved, free } = world([3, 257]);
    moved.keep("first");
    for (const { parameter } of parameters) gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));
    const norm = Math.sqrt(parameters.reduce((sum, { gradient }) => sum + gradient.reduce((a, g) => a + g * g, 0), 0));
    await moved.along(2, "first");
    for (const { parameter, weight, gradient } of parameters) {
      const now = await read(parameter.buffer, parameter.size);
      const error = now.map((w, i) => w - (weight[i]! + (2 * gradient[i]!) / norm));
      expect(largest(error)).toBeLessThan(2e-6);
    }
    await free();
  });

  test("a gradient of nothing moves nothing", async () => {
    const { parameters, moved, free } = world([1, 3]);
    for (const { parameter } of parameters) gpu.clear(parameter.gradient, 16);
    await moved.along(1);
    for (const { parameter, weight } of parameters)
      expect(await read(parameter.buffer, parameter.size)).toEqual(weight);
    await free();
  });

  test("mixes gradients: a kept + b gradients, with other factors each time", async () => {
    const { parameters, moved, free } = world();
    moved.keep("g");
    const expected = parameters.map(({ gradient }) => Float64Array.from(gradient));
    for (const [a, b] of [
      [0.5, 2],
      [-3, 1],
      [1, 0],
    ] as const) {
      await moved.mix("g", a, b);
      for (const [p, { parameter, gradient }] of parameters.entries()) {
        for (const [i, g] of gradient.entries()) expected[p]![i] = a * g + b * expected[p]![i]!;
        const now = await read(parameter.gradient, parameter.size);
        expect(largest(now.map((x, i) => x - expected[p]![i]!))).toBeLessThan(1e-6 * (1 + largest(expected[p]!)));
      }
    }
    await free();
  });

  test("noise has mean 0 and the variance asked for, and belongs to its seed and parameter", async () => {
    const size = 60_000;
    const { parameters, moved, free } = world([size, size]);
    const [first, second] = parameters as [(typeof parameters)[0], (typeof parameters)[0]];
    const drawn = async (seed: number, sigma: number) => {
      moved.restore();
      await moved.noise(sigma, seed);
      const [a, b] = [await read(first.parameter.buffer, size), await read(second.parameter.buffer, size)];
      return [a.map((w, i) => w - first.weight[i]!), b.map((w, i) => w - second.weight[i]!)] as const;
    };
    const correlation = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0) / a.length;
    moved.save();
    const [a, b] = await drawn(7, 2);
    for (const noise of [a, b]) {
      const mean = noise.reduce((sum, x) => sum + x, 0) / size;
      const variance = noise.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size;
      const fourth = noise.reduce((sum, x) => sum + (x - mean) ** 4, 0) / size;
      expect(Math.abs(mean)).toBeLessThan((5 * 2) / Math.sqrt(size));
      expect(Math.abs(variance / 4 - 1)).toBeLessThan(5 * Math.sqrt(2 / size));
      expect(Math.abs(fourth / 16 - 3)).toBeLessThan(5 * Math.sqrt(96 / size));
    }
    expect(Math.abs(correlation(a, b))).toBeLessThan((5 * 4) / Math.sqrt(size)); // parameters are apart
    expect(Math.abs(correlation(a.subarray(1), a.subarray(0, -1)))).toBeLessThan((5 * 4) / Math.sqrt(size)); // neighbours too
    expect(await drawn(7, 2)).toEqual([a, b]);
    const [other] = await drawn(8, 2);
    expect(Math.abs(correlation(a, other))).toBeLessThan((5 * 4) / Math.sqrt(size));
    const [none] = await drawn(7, 0);
    expect(largest(none)).toBe(0);
    await free();
  });

  test.each(SIZES.slice(0, -1))("noise of %p values reaches each of them", async (size) => {
    const { parameters, moved, free } = world([size]);
    const [{ parameter, weight }] = parameters as [(typeof parameters)[0]];
    await moved.noise(1, 3);
    const now = await read(parameter.buffer, size);
    expect(now.every((w, i) => w !== weight[i] && Number.isFinite(w))).toBe(true);
    await free();
  });

  test("refuses weights in bf16", () => {
    const coarse = new Parameter(gpu, "w", [8], "bf16");
    expect(() => new Perturbation(gpu, [coarse])).toThrow(
      "w is held in bf16; weights that are moved by small steps must be f32",
    );
    coarse.free();
  });

  test("coins move every weight by a multiple of a quarter of the length, rounded once", async () => {
    const { parameters, moved, free } = world([1, 3, 255, 1025]);
    const bits = (x: number) => x.toString(2).replaceAll("0", "").length;
    for (const [length, seed] of [
      [1e-3, 5],
      [-0.3, 4_000_000_000],
      [0, 1],
    ] as const) {
      moved.save();
      const before = await Promise.all(parameters.map(({ parameter }) => read(parameter.buffer, parameter.size)));
      await moved.walk(length, seed);
      const scale = 2 ** (17 - Math.floor(Math.log2(Math.abs(length / 4))));
      const quarter = length === 0 ? 0 : Math.round((length / 4) * scale) / scale;
      expect(Math.abs(quarter - length / 4)).toBeLessThanOrEqual(Math.abs(length) * 2 ** -19);
      for (const [key, { parameter }] of parameters.entries()) {
        const now = await read(parameter.buffer, parameter.size);
        const expected = before[key]!.map((w, i) => {
          const words = [2 * i, 2 * i + 1].map((at) => randomWordAt(at, [key, seed + Math.imul(key, 0x9e3779b9)]));
          const heads = bits(words[0]!) + bits(words[1]!);
          return w + quarter * (heads - 32);
        });
        expect(now).toEqual(expected);
      }
      moved.restore();
    }
    await free();
  });

  test("coins have mean 0 and variance 1, and neighbours, parameters and seeds are apart", async () => {
    const size = 60_000;
    const { parameters, moved, free } = world([size, size]);
    for (const { parameter } of parameters) parameter.write(new Float32Array(size));
    moved.save();
    const drawn = async (seed: number) => {
      moved.restore();
      await moved.walk(1, seed);
      return Promise.all(parameters.map(({ parameter }) => read(parameter.buffer, size)));
    };
    const product = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0) / a.length;
    const [a, b] = (await drawn(3)) as [Float32Array, Float32Array];
    const [other] = (await drawn(4)) as [Float32Array];
    const bound = 5 / Math.sqrt(size);
    expect(Math.abs(a.reduce((sum, x) => sum + x, 0) / size)).toBeLessThan(bound);
    expect(Math.abs(product(a, a) - 1)).toBeLessThan(Math.SQRT2 * bound);
    for (const [x, y] of [
      [a, b],
      [a, other],
      [a.subarray(1), a.subarray(0, -1)],
      [a.subarray(1), b.subarray(0, -1)],
      [a.subarray(0, -1), b.subarray(1)],
    ] as const)
      expect(Math.abs(product(x, y))).toBeLessThan(bound);
    await free();
  });
});
