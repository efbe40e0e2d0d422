/** AdamW with moments of 8 bits: its code, each step against float64, and how far it strays from AdamW. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Optimizer } from "../../../src/run/training/optimizer.ts";
import { Updater } from "../../../src/run/training/updater.ts";
import { method as adamwMethod } from "../../../src/train/methods/optimizers/adamw.ts";
import { method } from "../../../src/train/methods/optimizers/adamw-8bit.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { adamw, checkOptimizer, DECAY, LR, parametersOf, type Vector } from "./optimizer-harness.ts";

covers("train/adamw-8bit");

const gpu = await sharedGpu();
const BLOCK = 256;
const plain = (optimizer: unknown) => optimizer as Optimizer;

/** Values of all codes of so many bits, in order. */
const valuesOf = (bits: number) =>
  Float64Array.from({ length: 2 ** bits }, (_, code) => {
    if (code === 0) return 0;
    const k = Math.floor(Math.log2(code));
    return 10 ** -(bits - 1 - k) * (0.1 + (0.9 * (code - 2 ** k + 1)) / 2 ** k);
  });
const [MEANS, ROOTS] = [valuesOf(7), valuesOf(8)];

test("the code is in order, from 0 to 1 exactly, half as fine in each decade down", () => {
  for (const values of [MEANS, ROOTS]) {
    expect([...values]).toEqual([...values].sort((a, b) => a - b));
    expect(values.at(-1)).toBe(1);
    expect(values.filter((x) => x > 0.1).length).toBe(values.length / 2);
    expect(values.filter((x) => x > 0.01 && x <= 0.1 + 1e-12).length).toBe(values.length / 4);
  }
});

/** Width of the gap of values about x. */
function gapAt(values: Float64Array, x: number): number {
  const above = values.findIndex((value) => value >= Math.min(x, 1));
  return above <= 0 ? values[1]! : values[above]! - values[above - 1]!;
}

const SHAPES = [[1], [7], [256], [19, 33], [90, 50]];

/** Decoded moments of every parameter. */
async function decoded(updater: Updater, sizes: readonly number[]) {
  const states = new Map(updater.states().map((state) => [state.name, state]));
  const read = async (name: string) => {
    const { buffer, bytes } = states.get(name)!;
    return gpu.read(buffer, 0, bytes, (view) => view.slice(0, bytes));
  };
  return Promise.all(
    sizes.map(async (size, i) => {
      const scales = async (name: string) => new Float32Array((await read(`w${i}.${name}_scale`)).buffer);
      const [means, roots] = [await read(`w${i}.mean`), await read(`w${i}.root`)];
      const [meanScale, rootScale] = [await scales("mean"), await scales("root")];
      const at = (k: number) => Math.floor(k / BLOCK);
      return {
        m: Float64Array.from({ length: size }, (_, k) => {
          const byte = means[k]!;
          return (byte > 127 ? -1 : 1) * MEANS[byte & 127]! * meanScale[at(k)]!;
        }),
        r: Float64Array.from({ length: size }, (_, k) => ROOTS[roots[k]!]! * rootScale[at(k)]!),
        meanScale,
        rootScale,
      };
    }),
  );
}

test("every step is that of float64 from the moments held, and these are the nearest codes of its own", async () => {
  const parameters = parametersOf("f32", SHAPES);
  const sizes = parameters.map(({ size }) => size);
  for (const [i, p] of parameters.entries()) p.write(normals(10 + i, p.size));
  const optimizer = bindDefaults(plain(method), { least_values: 0 });
  const updater = await Updater.make(gpu, parameters, { optimizer, decays: () => true, clip: 0 });
  let before = await decoded(updater, sizes);
  for (let t = 1; t <= 20; t++) {
    const g = parameters.map(({ size }, i) => normals(100 * t + i, size).map((x, k) => x * 10 ** -(k % 5)));
    const w = await Promise.all(parameters.map((p) => gpu.readFloats(p.buffer, p.size)));
    for (const [i, p] of parameters.entries()) gpu.write(p.gradient, 0, new Uint8Array(g[i]!.buffer));
    await updater.step(t, LR, 0);
    const after = await decoded(updater, sizes);
    for (const [i, p] of parameters.entries()) {
      const found = await gpu.readFloats(p.buffer, p.size);
      const own = after[i]!;
      let [apart, rounded] = [0, 0];
      for (let k = 0; k < p.size; k++) {
        const m = 0.9 * before[i]!.m[k]! + 0.1 * g[i]![k]!;
        const r = Math.sqrt(0.95 * before[i]!.r[k]! ** 2 + 0.05 * g[i]![k]! ** 2);
        const step = m / (1 - 0.9 ** t) / (r / Math.sqrt(1 - 0.95 ** t) + 1e-8);
        const expected = w[i]![k]! * (1 - LR * DECAY) - LR * step;
        apart = Math.max(apart, Math.abs(found[k]! - expected) / Math.max(1, LR * Math.abs(step)));
        const [meanScale, rootScale] = [own.meanScale[Math.floor(k / BLOCK)]!, own.rootScale[Math.floor(k / BLOCK)]!];
        const gaps = [gapAt(MEANS, Math.abs(m) / meanScale) * meanScale, gapAt(ROOTS, r / rootScale) * rootScale];
        rounded = Math.max(
          rounded,
          Math.abs(own.m[k]! - m) / gaps[0]!,
          r > 1e-7 * rootScale ? Math.abs(own.r[k]! - r) / gaps[1]! : 0,
        );
        expect(own.r[k]!).toBeGreaterThan(0);
      }
      expect(apart).toBeLessThan(2e-6);
      // Half a gap; 0.55 of the last, whose end is nearer to 0 than the middle of its decade.
      expect(rounded).toBeLessThan(0.56 + 1e-3);
    }
    before = after;
  }
  const words = sizes.reduce((sum, n) => sum + 2 * Math.ceil(n / 4) + 2 * Math.ceil(n / BLOCK), 0);
  expect(updater.states().reduce((sum, { bytes }) => sum + bytes, 0)).toBe(4 * words);
  updater.free();
  for (const p of parameters) p.free();
});

test("on a parabola it goes where AdamW goes", async () => {
  const parameters = parametersOf("f32", [[40, 50]]);
  const [p] = parameters;
  const losses: number[] = [];
  for (const optimizer of [bindDefaults(plain(adamwMethod)), bindDefaults(plain(method), { least_values: 0 })]) {
    p!.write(normals(1, p!.size));
    const updater = await Updater.make(gpu, parameters, { optimizer, decays: () => false, clip: 0 });
    for (let t = 1; t <= 60; t++) {
      const w = await gpu.readFloats(p!.buffer, p!.size);
      gpu.write(p!.gradient, 0, new Uint8Array(w.map((x, k) => x * (1 + (k % 7))).buffer));
      await updater.step(t, 0.02, 0);
    }
    const w = await gpu.readFloats(p!.buffer, p!.size);
    losses.push(w.reduce((sum, x, k) => sum + x * x * (1 + (k % 7)), 0));
    updater.free();
  }
  expect(losses[1]! / losses[0]! - 1).toBeLessThan(0.02);
  for (const p of parameters) p.free();
});

describe("tensors below the least size", () => {
  const step = (w: Vector, g: Vector, s: Record<string, Vector>, t: number, shape: readonly number[], name: string) =>
    adamw(w, g, s, t, shape, name);
  checkOptimizer({ optimizer: plain(method), step });
});
