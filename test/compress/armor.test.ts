/** ARMOR: slopes by differences, its choice of groups against all pairs, and its loss against where it begins. */
import { describe, expect, test } from "bun:test";
import { balanced, largestDivisor } from "../../src/compress/balanced.ts";
import { relativeError } from "../../src/compress/layer.ts";
import { type CoreShape, WrappedCore } from "../../src/compress/wrapped-core.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { gramOf, measuredLayer } from "../support/layer.ts";
import { normals } from "../support/random.ts";
import { sanityLayer } from "./sanity-layer.ts";

covers("compress/core-residual", "compress/note-loss", "compress/keep-better", "compress/core-group");

const gpu = await sharedGpu();

interface Parts {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly core: Float32Array;
}

/** A S B in f64. */
function product({ rows, columns, sideA, sideB }: CoreShape, { a, b, core }: Parts): Float64Array {
  const left = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let k = 0; k < sideA; k++)
      for (let c = 0; c < columns; c++)
        left[r * columns + c]! += a[r * sideA + k]! * core[(r - (r % sideA) + k) * columns + c]!;
  const whole = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      for (let k = 0; k < sideB; k++) {
        const inner = c - (c % sideB) + k;
        whole[r * columns + c]! += left[r * columns + inner]! * b[inner * sideB + (c % sideB)]!;
      }
  return whole;
}

const SHAPES = [
  { rows: 12, columns: 32, sideA: 6, sideB: 8 },
  { rows: 5, columns: 12, sideA: 1, sideB: 1 },
  { rows: 8, columns: 140, sideA: 8, sideB: 140 },
] as const;

/** A core with random parts, two of every four of S. */
function made(shape: CoreShape) {
  const { rows, columns, sideA, sideB } = shape;
  const n = rows * columns;
  const goalValues = normals(1, n);
  const importanceValues = normals(2, columns).map((x) => x * x + 0.1);
  const goal = gpu.upload(goalValues, "goal");
  const importance = gpu.upload(importanceValues, "importance");
  const wrapped = new WrappedCore(gpu, shape, goal, importance);
  const gone = Uint32Array.from({ length: n }, (_, i) => Number((i + Math.floor(i / 4)) % 4 < 2));
  const parts: Parts = {
    a: normals(3, rows * sideA),
    b: normals(4, columns * sideB),
    core: normals(5, n).map((x, i) => (gone[i] ? 0 : x)),
  };
  for (const name of ["a", "b", "core"] as const)
    gpu.write(wrapped.held(name).buffer, 0, new Uint8Array(parts[name].buffer));
  const marks = gpu.upload(gone, "marks");
  const loss = (given: Parts): number =>
    product(shape, given).reduce((sum, x, i) => sum + importanceValues[i % columns]! * (x - goalValues[i]!) ** 2, 0);
  const free = () => {
    for (const one of [goal, importance, marks]) one.free();
    wrapped[Symbol.dispose]();
  };
  return { wrapped, parts, marks, loss, importanceValues, goalValues, [Symbol.dispose]: free };
}

describe.each(SHAPES)("rows $rows, columns $columns, blocks $sideA and $sideB", (shape) => {
  const { rows, columns, sideA, sideB } = shape;
  const n = rows * columns;

  test("product, loss and slopes are those in f64", async () => {
    using one = made(shape);
    const { wrapped, parts, loss } = one;
    using losses = gpu.buffer(8, "losses");
    await wrapped.multiply();
    await wrapped.note(losses, 1);
    await wrapped.slopes();
    const wanted = product(shape, parts);
    const found = await gpu.readFloats(wrapped.best.buffer, n);
    expect(found.every((x, i) => Math.abs(x - wanted[i]!) < 1e-4 * (1 + Math.abs(wanted[i]!)))).toBe(true);
    const noted = (await gpu.readFloats(losses.buffer, 2))[1]!;
    expect(noted / loss(parts)).toBeCloseTo(1, 4);
    for (const [name, slopes] of [
      ["a", "slopesA"],
      ["b", "slopesB"],
      ["core", "slopesCore"],
    ] as const) {
      const values = await gpu.readFloats(wrapped.held(slopes).buffer, parts[name].length);
      const size = Math.max(...values.map(Math.abs));
      for (let i = 0; i < values.length; i += Math.ceil(values.length / 7)) {
        const at = (by: number) => {
          const moved = Float32Array.from(parts[name]);
          moved[i]! += by;
          return loss({ ...parts, [name]: moved });
        };
        const step = 2 ** -7;
        expect(Math.abs(values[i]! - (at(step) - at(-step)) / (2 * step))).toBeLessThan(1e-3 * size);
      }
    }
  });

  test("a step on groups never costs, leaves two of four, and is the best of all pairs", async () => {
    using one = made(shape);
    const { wrapped, parts, loss, marks, importanceValues, goalValues } = one;
    using losses = gpu.buffer(4, "losses");
    let before = { ...parts };
    for (let step = 0; step < 4; step++) {
      await wrapped.multiply();
      await wrapped.note(losses, 0);
      await wrapped.slopes();
      await wrapped.multiply();
      await wrapped.regroup(marks, { key: 5, step });
      const after = { ...before, core: await gpu.readFloats(wrapped.held("core").buffer, n) };
      const flags = await gpu.readWords(marks.buffer, n);
      expect(loss(after)).toBeLessThanOrEqual(loss(before) * (1 + 1e-5));
      expect(after.core.every((x, i) => (x === 0) === (flags[i] === 1))).toBe(true);
      for (let g = 0; g < n; g += 4)
        expect(after.core.subarray(g, g + 4).reduce((count, x) => count + Number(x !== 0), 0)).toBe(2);
      const changed = Array.from({ length: n / 4 }, (_, g) => 4 * g).filter((g) =>
        [0, 1, 2, 3].some((k) => after.core[g + k] !== before.core[g + k]),
      );
      const width = Math.max(4, sideB);
      // A group that is chosen twice has its best values already.
      const blocks = (rows / sideA) * (columns / width);
      if (step === 0) expect(changed.length).toBe(blocks);
      expect(changed.length).toBeLessThanOrEqual(blocks);
      for (const g of changed.slice(0, 3)) {
        const found = bestPair(shape, before, g, importanceValues, goalValues);
        const only = Float32Array.from(before.core);
        only.set(after.core.subarray(g, g + 4), g);
        expect(Math.abs(loss({ ...before, core: only }) / found - 1)).toBeLessThan(1e-4);
      }
      before = after;
    }
  });
});

/** The least loss that any two of four values at a place of the core give, the other values staying: all six tried. */
function bestPair(shape: CoreShape, parts: Parts, g: number, h: Float32Array, goal: Float32Array): number {
  const columns = shape.columns;
  const without = Float32Array.from(parts.core);
  without.fill(0, g, g + 4);
  const base = product(shape, { ...parts, core: without });
  const directions = [0, 1, 2, 3].map((k) => {
    const core = new Float32Array(without.length);
    core[g + k] = 1;
    return product(shape, { ...parts, core });
  });
  const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, v, i) => sum + h[i % columns]! * v * y[i]!, 0);
  const rest = base.map((x, i) => x - goal[i]!);
  let least = dot(rest, rest);
  for (let j = 1; j < 4; j++)
    for (let i = 0; i < j; i++) {
      const [x, y] = [directions[i]!, directions[j]!];
      const [xx, yy, xy, xr, yr] = [dot(x, x), dot(y, y), dot(x, y), dot(x, rest), dot(y, rest)];
      const determinant = xx * yy - xy * xy;
      const [s, t] = [(xy * yr - yy * xr) / determinant, (xy * xr - xx * yr) / determinant];
      const left = rest.map((v, k) => v + s * x[k]! + t * y[k]!);
      least = Math.min(least, dot(left, left));
    }
  return least;
}

test("rows and columns become about equally long", () => {
  const { values, rowSizes, columnSizes } = balanced(normals(1, 60), 12);
  for (let r = 0; r < 5; r++)
    expect(values.subarray(12 * r, 12 * r + 12).reduce((sum, x) => sum + x * x, 0)).toBeCloseTo(1, 5);
  const back = values.map((x, i) => x * rowSizes[Math.floor(i / 12)]! * columnSizes[i % 12]!);
  expect(back.every((x, i) => Math.abs(x - normals(1, 60)[i]!) < 1e-5)).toBe(true);
  expect([largestDivisor(60, 32), largestDivisor(7, 4), largestDivisor(16, 32)]).toEqual([30, 1, 16]);
});

test("the proxy loss is below that of its first mask, and E here below wanda's", async () => {
  const { w, rows, x } = sanityLayer(3);
  const columns = w.length / rows;
  const { gram } = gramOf(x, columns);
  const run = async (name: string, options: Record<string, unknown>) => {
    const { method, values } = bindDefaults(await loadMethod("pruner", name), options);
    using held = measuredLayer(gpu, w, rows, x);
    await method.prune(held.layer, { keep: 2, of: 4 }, values);
    const after = await gpu.readFloats(held.layer.weight.buffer, w.length);
    return { after, error: await relativeError(held.layer, w, after) };
  };
  const { values, rowSizes, columnSizes } = balanced(w, columns);
  const proxy = (found: (i: number) => number): number => {
    let [sum, whole] = [0, 0];
    for (const [i, v] of values.entries()) {
      const h = gram[(i % columns) * (columns + 1)]!;
      sum += h * (v - found(i)) ** 2;
      whole += h * v * v;
    }
    return sum / whole;
  };
  const first = values.map((v, i) => {
    const score = (k: number) => values[k]! ** 2 * gram[(k % columns) * (columns + 1)]!;
    const group = [0, 1, 2, 3].map((k) => i - (i % 4) + k);
    return group.filter((k) => score(k) > score(i)).length < 2 ? v : 0;
  });
  const armor = await run("armor", { rounds: 250, armor_lr: 1e-3, wrap: 8 });
  const wanda = await run("wanda", {});
  const reached = proxy((i) => armor.after[i]! / rowSizes[Math.floor(i / columns)]! / columnSizes[i % columns]!);
  expect(reached).toBeLessThan(0.8 * proxy((i) => first[i]!));
  expect(armor.error).toBeLessThan(wanda.error);
  // The same seed and name give the same bytes.
  const again = await run("armor", { rounds: 30, armor_lr: 1e-3, wrap: 8 });
  expect((await run("armor", { rounds: 30, armor_lr: 1e-3, wrap: 8 })).after).toEqual(again.after);
});

test("armor refuses all but 2:4", async () => {
  const { method, values } = bindDefaults(await loadMethod("pruner", "armor"));
  expect(() => method.check?.({ share: 0.5 }, values)).toThrow("two of every four");
  expect(() => method.check?.({ keep: 1, of: 4 }, values)).toThrow("two of every four");
});
