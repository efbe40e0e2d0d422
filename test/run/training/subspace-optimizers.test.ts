/** Optimizers with states of a part of a gradient: against float64 over 20 steps, their limits and sizes. */
import { afterAll, describe, expect, test } from "bun:test";
import { UserError } from "../../../src/errors.ts";
import { keyedUnits } from "../../../src/keyed-random.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Optimizer } from "../../../src/run/training/optimizer.ts";
import { Updater } from "../../../src/run/training/updater.ts";
import { method as adamwMethod } from "../../../src/train/methods/optimizers/adamw.ts";
import { method as apollo } from "../../../src/train/methods/optimizers/apollo.ts";
import { chosenPlaces, method as frugal } from "../../../src/train/methods/optimizers/frugal.ts";
import { method as galore } from "../../../src/train/methods/optimizers/galore.ts";
import { normalsOf } from "../../../src/train/projection.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import {
  adamw,
  checkOptimizer,
  DECAY,
  LR,
  parametersOf,
  type Reference,
  type Step,
  times,
  transposed,
  type Vector,
} from "./optimizer-harness.ts";

const gpu = await sharedGpu();
const EVERY = 7;
const SHAPES = [[6, 10], [10, 6], [6, 10], [9, 33], [6, 10], [7]];
const isMatrix = (shape: readonly number[]) => shape.length === 2;
const norm = (x: Iterable<number>) => Math.sqrt([...x].reduce((sum, v) => sum + v * v, 0));
const unitOf = (name: string, parameter: string, t: number) =>
  keyedUnits(0, `${name} ${parameter} ${Math.floor((t - 1) / EVERY)}`);

/** Orthonormal rows of (r, n), in their order. */
function orthonormal(x: Vector, r: number, n: number): Vector {
  const y = x.slice();
  for (let i = 0; i < r; i++) {
    for (let pass = 0; pass < 2; pass++)
      for (let j = 0; j < i; j++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += y[i * n + k]! * y[j * n + k]!;
        for (let k = 0; k < n; k++) y[i * n + k]! -= dot * y[j * n + k]!;
      }
    const length = norm(y.subarray(i * n, i * n + n));
    for (let k = 0; k < n; k++) y[i * n + k]! /= length;
  }
  return y;
}

/** A matrix with not more rows than columns, as (m, n): a wide one as it is, a tall one transposed. */
function wide(x: Vector, [r, c]: readonly [number, number]) {
  return r <= c
    ? { x, m: r, n: c, back: (y: Vector) => y }
    : { x: transposed(x, r, c), m: c, n: r, back: (y: Vector) => transposed(y, c, r) };
}

/** Rows (rank, m) that span about the leading left directions of a wide matrix (m, n). */
function leading(start: Vector, rank: number, x: Vector, m: number, n: number): Vector {
  const length = norm(x);
  const unit = x.map((v) => v / length);
  let basis = start;
  for (let i = 0; i < 3; i++) {
    const image = times(basis, unit, rank, m, n);
    basis = orthonormal(times(image, transposed(unit, m, n), rank, n, m), rank, m);
  }
  return basis;
}

/** Adam's direction, of moments of the age `t`. */
function adam(g: Vector, s: Record<string, Vector>, t: number): Vector {
  s.m ??= new Float64Array(g.length);
  s.v ??= new Float64Array(g.length);
  return g.map((x, i) => {
    s.m![i] = 0.9 * s.m![i]! + 0.1 * x;
    s.v![i] = 0.95 * s.v![i]! + 0.05 * x * x;
    return s.m![i]! / (1 - 0.9 ** t) / (Math.sqrt(s.v![i]! / (1 - 0.95 ** t)) + 1e-8);
  });
}
const move = (w: Vector, update: Vector) => {
  for (let i = 0; i < w.length; i++) w[i] = w[i]! * (1 - LR * DECAY) - LR * update[i]!;
};
const forget = (s: Record<string, Vector>) => {
  delete s.m;
  delete s.v;
};

const SIGNS = { sign: Math.sign, sgd: (x: number) => x, none: () => 0 };

/** FRUGAL of columns or single values. */
const byPlaces =
  (rest: keyof typeof SIGNS, isColumns: boolean, density: number, restRate: number): Step =>
  (w, g, s, t, shape, name) => {
    if (!isMatrix(shape)) return adamw(w, g, s, t, shape, name);
    const of = isColumns ? shape[1]! : w.length;
    const age = ((t - 1) % EVERY) + 1;
    if (age === 1) {
      forget(s);
      s.places = Float64Array.from(chosenPlaces(Math.round(density * of), of, unitOf("frugal", name, t)));
    }
    const chosen = [...g.keys()].filter((i) => s.places!.includes(i % of));
    const active = adam(
      Float64Array.from(chosen, (i) => g[i]!),
      s,
      age,
    );
    const update = g.map((x) => restRate * SIGNS[rest](x));
    for (const [k, i] of chosen.entries()) update[i] = active[k]!;
    move(w, update);
  };

const inTurns: Step = (w, g, s, t, shape, name) => {
  if (!isMatrix(shape)) return adamw(w, g, s, t, shape, name);
  const at = Number(name.slice(1));
  const turn = SHAPES.slice(0, at).filter((other) => other.join() === shape.join()).length % 2;
  if (Math.floor((t - 1) / EVERY) % 2 !== turn) return move(w, g.map(Math.sign));
  const age = ((t - 1) % EVERY) + 1;
  if (age === 1) forget(s);
  move(w, adam(g, s, age));
};

const inSubspace =
  (method: string, rank: (small: number) => number, scale: number, isReset: boolean): Step =>
  (w, g, s, t, shape, name) => {
    if (!isMatrix(shape)) return adamw(w, g, s, t, shape, name);
    const { x, m, n, back } = wide(g, shape as [number, number]);
    const r = rank(m);
    const age = ((t - 1) % EVERY) + 1;
    if (age === 1) {
      if (isReset) forget(s);
      s.basis = leading(Float64Array.from(normalsOf(r * m, 1, unitOf(method, name, t))), r, x, m, n);
    }
    const projected = times(s.basis!, x, r, m, n);
    const lifted = (y: Vector) => times(transposed(s.basis!, r, m), y, m, r, n);
    const update = lifted(adam(projected, s, isReset ? age : t)).map((v) => scale * v);
    if (isReset) {
      const within = lifted(projected);
      for (const [i, v] of x.entries()) update[i]! += Math.sign(v - within[i]!);
    }
    move(w, back(update));
  };

const scaled =
  (isWhole: boolean): Step =>
  (w, g, s, t, shape, name) => {
    if (!isMatrix(shape)) return adamw(w, g, s, t, shape, name);
    const { x, m, n, back } = wide(g, shape as [number, number]);
    const r = 4;
    if ((t - 1) % EVERY === 0) s.projection = Float64Array.from(normalsOf(r * m, 0.5, unitOf("apollo", name, t)));
    const projected = times(s.projection!, x, r, m, n);
    const wanted = adam(projected, s, t);
    const column = (y: Vector, j: number) => norm(y.filter((_, i) => isWhole || i % n === j));
    let update = x.map((v, i) => (v * column(wanted, i % n)) / (column(projected, i % n) + 1e-8));
    if (t > 1) {
      const excess = Math.max(norm(update) / (s.norm![0]! + 1e-8), 1.01) / 1.01;
      update = update.map((v) => v / excess);
    }
    s.norm = Float64Array.of(norm(update));
    move(w, back(update));
  };

const plain = (optimizer: unknown) => optimizer as Optimizer;
const FRUGAL = { frugal_every: EVERY, frugal_density: 0.4 };
const REFERENCES: Readonly<Record<string, Reference>> = {
  "frugal, columns, signs": {
    optimizer: plain(frugal),
    values: { ...FRUGAL, frugal_split: "columns" },
    step: byPlaces("sign", true, 0.4, 1),
  },
  "frugal, single values, along the gradient": {
    optimizer: plain(frugal),
    values: { ...FRUGAL, frugal_split: "randk", frugal_rest: "sgd", frugal_rest_rate: 0.5 },
    step: byPlaces("sgd", false, 0.4, 0.5),
  },
  "frugal, blocks in turn": {
    optimizer: plain(frugal),
    values: { ...FRUGAL, frugal_density: 0.5 },
    step: inTurns,
  },
  "frugal, leading directions": {
    optimizer: plain(frugal),
    values: { ...FRUGAL, frugal_split: "svd" },
    step: inSubspace("frugal", (small) => Math.round(0.4 * small), 1, true),
    within: 1e-4,
  },
  galore: {
    optimizer: plain(galore),
    values: { galore_rank: 3, galore_every: EVERY },
    step: inSubspace("galore", () => 3, 0.25, false),
    within: 1e-4,
  },
  "apollo, by channel": {
    optimizer: plain(apollo),
    values: { apollo_rank: 4, apollo_every: EVERY },
    step: scaled(false),
    within: 5e-5,
  },
  "apollo, by tensor": {
    optimizer: plain(apollo),
    values: { apollo_rank: 4, apollo_every: EVERY, apollo_scope: "tensor" },
    step: scaled(true),
    within: 5e-5,
  },
};
describe.each(Object.keys(REFERENCES))("%s", (name) => checkOptimizer({ ...REFERENCES[name]!, shapes: SHAPES }));

describe("limits of frugal", () => {
  const parameters = parametersOf("f32", SHAPES);
  afterAll(() => {
    for (const p of parameters) p.free();
  });

  /** Weights after some steps. */
  async function after(method: Optimizer, values: Readonly<Record<string, unknown>>, steps = 9) {
    for (const [i, p] of parameters.entries()) p.write(normals(10 + i, p.size));
    const updater = await Updater.make(gpu, parameters, {
      optimizer: bindDefaults(method, values),
      decays: () => true,
      clip: 0,
    });
    for (let t = 1; t <= steps; t++) {
      for (const [i, p] of parameters.entries())
        gpu.write(p.gradient, 0, new Uint8Array(normals(100 * t + i, p.size).buffer));
      await updater.step(t, LR, 5);
    }
    const found = await Promise.all(parameters.map((p) => gpu.readFloats(p.buffer, p.size)));
    const floats = updater.states().reduce((sum, { bytes }) => sum + bytes / 4, 0);
    updater.free();
    return { found, floats };
  }
  const furthest = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
    Math.max(...a.flatMap((own, i) => [...own].map((x, k) => Math.abs(x - b[i]![k]!))));

  test.each(["block", "columns", "randk"])("all of it chosen by %s is AdamW", async (split) => {
    const all = await after(plain(frugal), { frugal_split: split, frugal_density: 1, frugal_every: 4 });
    expect(furthest(all.found, (await after(plain(adamwMethod), {})).found)).toBeLessThan(2e-6);
  });

  test.each(["block", "columns", "randk", "svd"])(
    "none of it chosen by %s is descent by signs, without states",
    async (split) => {
      const { found, floats } = await after(plain(frugal), { frugal_split: split, frugal_density: 0 });
      for (const [i, { shape, size }] of parameters.entries()) {
        if (!isMatrix(shape)) continue;
        const w = Float64Array.from(normals(10 + i, size));
        for (let t = 1; t <= 9; t++) move(w, Float64Array.from(normals(100 * t + i, size), Math.sign));
        expect([...found[i]!].every((x, k) => Math.abs(x - w[k]!) < 1e-5)).toBe(true);
      }
      expect(floats).toBe(2 * 7); // of the vector
    },
  );

  test("blocks without a rest move one at a time", async () => {
    const { found } = await after(
      plain(frugal),
      { frugal_density: 0.5, frugal_rest: "none", weight_decay: 0, frugal_every: 3 },
      3,
    );
    const moved = parameters.map((p, i) => furthest([found[i]!], [normals(10 + i, p.size)]) > 0);
    expect(moved).toEqual([true, true, false, true, true, true]);
  });

  test("states are as small as is said", async () => {
    const matrices = 3 * 60 + 60 + 9 * 33;
    const sizes = async (values: Readonly<Record<string, unknown>>) =>
      (await after(plain(frugal), values, 1)).floats - 14;
    expect(await sizes({ frugal_density: 0.5 })).toBe(2 * (2 * 60 + 60 + 9 * 33)); // pairs share, others have no other
    expect(await sizes({ frugal_density: 0.2, frugal_split: "columns" })).toBe(
      4 * 2 + 7 + 2 * (3 * 6 * 2 + 10 * 1 + 9 * 7) - 1,
    );
    expect(await sizes({ frugal_density: 0.25, frugal_split: "randk" })).toBe(3 * Math.round(0.25 * matrices));
    const svd = 3 * (2 * 6 + 2 * 2 * 10) + (2 * 6 + 2 * 2 * 10) + (2 * 9 + 2 * 2 * 33);
    expect(await sizes({ frugal_density: 0.25, frugal_split: "svd" })).toBe(svd);
    expect((await after(plain(galore), { galore_rank: 2 }, 1)).floats).toBe(
      14 + 4 * (2 * 6 + 2 * 2 * 10) + 2 * 9 + 4 * 33,
    );
    expect((await after(plain(apollo), { apollo_rank: 2 }, 1)).floats).toBe(
      14 + 4 * (2 * 6 + 2 * 2 * 10 + 1) + 2 * 9 + 4 * 33 + 1,
    );
  });

  test("a density that blocks cannot take turns at is refused", () => {
    const optimizer = bindDefaults(plain(frugal), { frugal_density: 0.3 });
    const making = Updater.make(gpu, parameters, { optimizer, decays: () => true, clip: 0 });
    expect(making).rejects.toThrow(UserError);
    return making.catch(() => {});
  });
});

test("places are distinct, in order, spread evenly, and others for another choice", () => {
  const counts = new Float64Array(20);
  for (let seed = 0; seed < 400; seed++) {
    const places = chosenPlaces(5, 20, keyedUnits(seed, "x"));
    expect(new Set(places).size).toBe(5);
    expect([...places]).toEqual([...places].sort((a, b) => a - b));
    for (const place of places) counts[place]!++;
  }
  // 100 each, with a standard deviation of 8.7.
  expect(Math.max(...counts.map((n) => Math.abs(n - 100)))).toBeLessThan(40);
});
