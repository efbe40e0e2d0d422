/** Losses of features and prototypes, against float64 and differences. */
import { describe, expect, test } from "bun:test";
import {
  contrastiveViews,
  onEveryRow,
  prototypePull,
  relationDrift,
} from "../../../src/adapt/continual/prototype-losses.ts";
import { contrastive, positivesOf, unitRows } from "../../../src/run/training/contrastive.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const [N, C, K] = [6, 5, 4];
const CLASSES = [0, 1, 0, 2, 1, 0];

const rowsOf = (x: Float64Array, width: number) =>
  Array.from({ length: x.length / width }, (_, i) => x.subarray(i * width, (i + 1) * width));
const inner = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const unit = (x: Float64Array) => x.map((value) => value / Math.sqrt(inner(x, x)));
const units = (x: Float64Array) => rowsOf(x, C).map(unit);
const logSum = (x: readonly number[]) => Math.log(x.reduce((sum, value) => sum + Math.exp(value), 0));

describe("losses of prototypes", () => {
  test("the contrastive loss; a row that is alone in its class has none", async () => {
    const x = { shape: [N, C], data: normals(1, N * C) };
    await checkOp(gpu, "contrastive", {
      inputs: { x, positives: { shape: [N, N], data: positivesOf(CLASSES), grad: false } },
      build: (rec, { x, positives }) => contrastive(rec, unitRows(rec, x!), positives!, 0.5),
      reference: ({ x }) => {
        const z = units(x!);
        return Float64Array.from(z, (own, i) => {
          const others = [...z.keys()].filter((j) => j !== i);
          const all = logSum(others.map((j) => inner(own, z[j]!) / 0.5));
          const positive = others.filter((j) => CLASSES[j] === CLASSES[i]);
          const total = positive.reduce((sum, j) => sum + all - inner(own, z[j]!) / 0.5, 0);
          return positive.length === 0 ? 0 : total / positive.length;
        });
      },
      forward: 1e-5,
      backward: 5e-5,
    });
  });

  test("two views of each row: the mean of the losses of its views among all", async () => {
    const classes = [...CLASSES, ...CLASSES];
    await checkOp(gpu, "contrastive views", {
      inputs: {
        a: { shape: [N, C], data: normals(4, N * C) },
        b: { shape: [N, C], data: normals(5, N * C) },
        positives: { shape: [2 * N, 2 * N], data: positivesOf(classes), grad: false },
      },
      build: (rec, { a, b, positives }) => contrastiveViews(rec, unitRows(rec, a!), unitRows(rec, b!), positives!, 0.5),
      reference: ({ a, b }) => {
        const z = [...units(a!), ...units(b!)];
        const losses = z.map((own, i) => {
          const others = [...z.keys()].filter((j) => j !== i);
          const all = logSum(others.map((j) => inner(own, z[j]!) / 0.5));
          const positive = others.filter((j) => classes[j] === classes[i]);
          return positive.reduce((sum, j) => sum + all - inner(own, z[j]!) / 0.5, 0) / positive.length;
        });
        return Float64Array.from({ length: N }, (_, i) => (losses[i]! + losses[N + i]!) / 2);
      },
      forward: 1e-5,
      backward: 5e-5,
    });
  });

  test("the pull moves prototypes, and no feature", async () => {
    const targets = { shape: [N], data: Int32Array.from(CLASSES), dtype: "i32" as const };
    const [x, p] = [normals(2, N * C), normals(3, K * C)];
    const { outputs, gradients } = await runOp(gpu, {
      inputs: { x: { shape: [N, C], data: x, grad: true }, p: { shape: [K, C], data: p, grad: true }, targets },
      build: (rec, { x, p, targets }) => prototypePull(rec, unitRows(rec, x!), unitRows(rec, p!), targets!),
      seeds: { y: new Float32Array(N).fill(1) },
    });
    const [z, c] = [units(Float64Array.from(x)), units(Float64Array.from(p))];
    for (const [i, value] of outputs.y!.entries()) expect(value).toBeCloseTo(-inner(c[CLASSES[i]!]!, z[i]!), 5);
    expect(gradients.x?.every((g) => g === 0) ?? true).toBe(true);
    const moved = rowsOf(Float64Array.from(gradients.p!), C).map((row) => row.some((g) => g !== 0));
    expect(moved).toEqual([true, true, true, false]); // none of the batch is of class 3
  });

  const shares = Float32Array.of(0.5, 0, 0.5, 0);
  const drift = (x: Float64Array, p: Float64Array, z0: Float64Array, c0: Float64Array) => {
    const around = (z: Float64Array[], c: Float64Array) => z.map((row) => inner(c, row) / 0.3);
    return [...shares].reduce((sum, share, k) => {
      const [now, old] = [around(units(x), units(p)[k]!), around(units(z0), units(c0)[k]!)];
      const [a, b] = [logSum(old), logSum(now)];
      return sum + share * old.reduce((all, s, i) => all + Math.exp(s - a) * (s - a - (now[i]! - b)), 0);
    }, 0);
  };

  test("the drift of relations: mean KL over old classes, between samples", async () => {
    const data = { x: normals(4, N * C), p: normals(5, K * C), z0: normals(6, N * C), c0: normals(7, K * C) };
    await checkOp(gpu, "relation drift", {
      inputs: {
        ...{ x: { shape: [N, C], data: data.x }, p: { shape: [K, C], data: data.p } },
        ...{ z0: { shape: [N, C], data: data.z0, grad: false }, c0: { shape: [K, C], data: data.c0, grad: false } },
        shares: { shape: [K], data: shares, grad: false },
      },
      build: (rec, { x, p, z0, c0, shares }) => {
        const now = { z: unitRows(rec, x!), prototypes: unitRows(rec, p!) };
        const before = { z: unitRows(rec, z0!), prototypes: unitRows(rec, c0!) };
        return onEveryRow(rec, relationDrift(rec, now, before, shares!, 0.3), N);
      },
      reference: ({ x, p, z0, c0 }) => new Float64Array(N).fill(drift(x!, p!, z0!, c0!)),
      forward: 1e-5,
      backward: 5e-5,
    });
  });

  test("with the same weights it is 0, and so is its gradient", async () => {
    const [x, p] = [normals(8, N * C), normals(9, K * C)];
    const of = (data: Float32Array, rows: number, grad: boolean) => ({ shape: [rows, C], data, grad });
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        ...{ x: of(x, N, true), p: of(p, K, true), z0: of(x, N, false), c0: of(p, K, false) },
        shares: { shape: [K], data: shares },
      },
      build: (rec, { x, p, z0, c0, shares }) => {
        const related = (z: typeof x, c: typeof p) => ({ z: unitRows(rec, z!), prototypes: unitRows(rec, c!) });
        return relationDrift(rec, related(x, p), related(z0, c0), shares!, 0.3);
      },
      seeds: { y: Float32Array.of(1) },
    });
    expect(Math.abs(outputs.y![0]!)).toBeLessThan(1e-6);
    for (const gradient of [gradients.x!, gradients.p!]) expect(gradient.every((g) => Math.abs(g) < 1e-6)).toBe(true);
  });
});
