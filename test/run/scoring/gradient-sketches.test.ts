/** Sketches of gradients: the kernel against its definition in f64, and what inner products of sketches tell. */
import { expect, test } from "bun:test";
import type { Sequence } from "../../../src/data/sequences.ts";
import { keyedUnits } from "../../../src/keyed-random.ts";
import { Model } from "../../../src/model/model.ts";
import { checkSketchWidth, gradientSketches, recordSketch } from "../../../src/run/scoring/gradient-sketches.ts";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { profileOf } from "../../../src/tensor/program.ts";
import { randomWordAt } from "../../support/counter-random.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

covers("training/sketch");

const gpu = await sharedGpu();

/** The definition, in f64: value p of block j goes to p xor h(j), under the sign of its place. */
function sketched(vector: ArrayLike<number>, name: string, width: number, seed: number): Float64Array {
  const unit = keyedUnits(seed, `sketch of ${name}`);
  const [x, y] = [Math.floor(unit() * 2 ** 32), Math.floor(unit() * 2 ** 32)];
  const sums = new Float64Array(width);
  for (let at = 0; at < vector.length; at++) {
    const turned = randomWordAt(Math.floor(at / width), [x, y]) & (width - 1);
    const sign = randomWordAt(at, [y, x]) & 1 ? -1 : 1;
    sums[(at % width) ^ turned]! += sign * vector[at]!;
  }
  return sums;
}

test.each([
  [1, 64],
  [64, 64],
  [1000, 64],
  [70_001, 1024],
])("%d values in %d sums, at a row of several, whole and in parts", async (n, width) => {
  const vector = normals(1, n);
  // A binding of 64 KiB holds 16,384 values, so that longer vectors come in parts.
  for (const maxBinding of [undefined, 4 * 16384]) {
    const { outputs } = await runOp(gpu, {
      inputs: { vector: { shape: [n], data: vector }, sums: { shape: [3, width], data: new Float32Array(3 * width) } },
      values: { row: 1 },
      ...(maxBinding && { profile: { ...profileOf(gpu), maxBinding } }),
      build: (rec, { vector, sums }) => {
        const into = scale(rec, sums!, 1);
        recordSketch(rec, { vector: vector!, size: n, name: "w" }, into, { width, seed: 4 });
        return { sums: into };
      },
    });
    const expected = sketched(vector, "w", width, 4);
    const found = outputs.sums!;
    for (let i = 0; i < width; i++) {
      expect([found[i], found[2 * width + i]]).toEqual([0, 0]);
      expect(Math.abs(found[width + i]! - expected[i]!)).toBeLessThan(1e-4);
    }
  }
});

test("inner products of sketches are those of vectors on average, within the spread that is told", () => {
  const [n, width, draws] = [700, 64, 150];
  const [a, b] = [normals(2, n), normals(3, n)];
  for (let i = 0; i < n; i++) b[i]! += 0.5 * a[i]!;
  const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => Array.from(x).reduce((sum, v, i) => sum + v * y[i]!, 0);
  const [truth, most] = [dot(a, b), Math.sqrt(2 / width) * Math.sqrt(dot(a, a) * dot(b, b))];
  const found = Array.from({ length: draws }, (_, seed) =>
    dot(sketched(a, "w", width, seed), sketched(b, "w", width, seed)),
  );
  const mean = found.reduce((x, y) => x + y, 0) / draws;
  const spread = Math.sqrt(found.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws);
  expect(Math.abs(mean - truth)).toBeLessThan((4 * most) / Math.sqrt(draws));
  expect(spread).toBeLessThan(1.15 * most);
});

test("a row's sketch is that of all its gradients, whatever rows come before", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 3 });
  const sequence = (list: readonly number[], place = "here"): Sequence => {
    const ids = Int32Array.from(list);
    return { ids, labels: list.length > 1 ? ids : ids.map(() => -100), group: 0, place };
  };
  const settings = { width: 64, seed: 9, pad: 0, signal: new AbortController().signal };
  const rows = [sequence([1, 2, 3, 4, 5]), sequence([7]), sequence([9, 8, 7, 6])];
  const [first, none, last] = await gradientSketches(model, rows, settings);
  expect(none!.every(Number.isNaN)).toBe(true);
  // The gradients of the last row are still there.
  const expected = new Float64Array(64);
  for (const { name, size, gradient } of model.trainable()) {
    const own = sketched(await gpu.readFloats(gradient, size), name, 64, 9);
    for (let i = 0; i < 64; i++) expected[i]! += own[i]!;
  }
  const scale = Math.hypot(...expected);
  for (let i = 0; i < 64; i++) expect(Math.abs(last![i]! - expected[i]!) / scale).toBeLessThan(1e-5);
  const [again] = await gradientSketches(model, [rows[0]!], settings);
  expect(again).toEqual(first!);
  model.free();
});

test("widths that kernels do not know are refused", () => {
  for (const width of [32, 100, 32768])
    expect(() => checkSketchWidth(width, "--sketch-width")).toThrow("no power of two");
  for (const width of [64, 1024, 16384]) expect(() => checkSketchWidth(width, "--sketch-width")).not.toThrow();
});
