/** Aggregators of client checkpoints: fedavg, fedfix, afa, admm, principal_svd. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as admm } from "../../../../src/merge/methods/federated/admm.ts";
import { method as afa } from "../../../../src/merge/methods/federated/afa.ts";
import { method as fedavg } from "../../../../src/merge/methods/federated/fedavg.ts";
import { method as fedfix } from "../../../../src/merge/methods/federated/fedfix.ts";
import { method as principalSvd } from "../../../../src/merge/methods/federated/principal-svd.ts";
import { fedfixWeights } from "../../../../src/run/among/rules/participation.ts";
import { principalWeights } from "../../../../src/run/among/rules/principal-directions.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { writeCheckpoint } from "../../checkpoint-file.ts";
import { mergeOne } from "../../merge-arrays.ts";

covers("merge/add-updates");

let gpu: Gpu;
const folder = mkdtempSync(path.join(os.tmpdir(), "federated-"));
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  gpu.close();
  rmSync(folder, { recursive: true });
});

const shape = [5, 51];
const random = (seed: number) => Float32Array.from(randomArray(255, normal(seed)));
const [base, a, b, c] = [random(1), random(2), random(3), random(4)];
const models = [a, b, c];
const tensor = { shape, base, models };

function saved(values: ArrayLike<number>): string {
  const file = path.join(folder, `${crypto.randomUUID()}.safetensors`);
  writeCheckpoint(file, { w: { shape, values } });
  return file;
}

function near(found: Float32Array, wanted: (i: number) => number): void {
  for (const [i, value] of found.entries()) expect(value).toBeCloseTo(wanted(i), 4);
}

describe("fedavg", () => {
  test("weighs updates by samples and takes the server's rate", async () => {
    const perModel = [{ samples: 10 }, { samples: 30 }, { samples: 60 }];
    const found = await mergeOne(gpu, fedavg, tensor, { perModel });
    near(found, (i) => 0.1 * a[i]! + 0.3 * b[i]! + 0.6 * c[i]!);
    const half = await mergeOne(gpu, fedavg, tensor, { perModel, values: { eta_g: 0.5 } });
    near(half, (i) => 0.5 * base[i]! + 0.5 * (0.1 * a[i]! + 0.3 * b[i]! + 0.6 * c[i]!));
  });

  test("a rate of 0 keeps the base, and no samples at all are refused", async () => {
    expect(await mergeOne(gpu, fedavg, tensor, { values: { eta_g: 0 } })).toEqual(base);
    await expect(mergeOne(gpu, fedavg, tensor, { perModel: [{ samples: 0 }] })).rejects.toThrow(
      "w: the samples sum to 0",
    );
  });
});

describe("fedfix", () => {
  const given = { importance: [0.2, 0.8], time: [1, 5], rate: [0.5, 0.25], interval: 2 };

  test("weights are those of the paper for each rule", () => {
    expect(fedfixWeights({ ...given, rule: "sync" })).toEqual([0.2, 0.8]);
    expect(fedfixWeights({ ...given, rule: "fedfix" })).toEqual([0.2, 0.8 * 3]);
    expect(fedfixWeights({ ...given, rule: "fedbuff" })).toEqual([0.4, 3.2]);
    const [fast, slow] = fedfixWeights({ ...given, rule: "async" });
    expect(fast).toBeCloseTo(0.2 * 1.2, 12);
    expect(slow).toBeCloseTo(0.8 * 5 * 1.2, 12);
  });

  test("an interval of the slowest client's time is synchronous; equal times make async p K", () => {
    expect(fedfixWeights({ ...given, rule: "fedfix", interval: 5 })).toEqual(given.importance);
    const equal = fedfixWeights({ ...given, rule: "async", time: [3, 3] });
    for (const [k, d] of equal.entries()) expect(d).toBeCloseTo(2 * given.importance[k]!, 12);
  });

  test("with equal clients and a long interval it is fedavg", async () => {
    const plain = await mergeOne(gpu, fedfix, tensor, { values: { interval: 10 } });
    expect(plain).toEqual(await mergeOne(gpu, fedavg, tensor));
  });

  test("a late client's update counts from where it began", async () => {
    const start = random(9);
    const file = saved(start);
    for (const chunkValues of [110, undefined]) {
      const found = await mergeOne(gpu, fedfix, tensor, {
        values: { interval: 1, eta_g: 0.5 },
        perModel: [{ time: 0.5 }, { time: 2.5, start: file }, { time: 1 }],
        ...(chunkValues && { chunkValues }),
      });
      near(found, (i) => base[i]! + (0.5 / 3) * (a[i]! - base[i]! + 3 * (b[i]! - start[i]!) + (c[i]! - base[i]!)));
    }
  });

  test("two quadratic clients of speeds 1:5 reach the true optimum only with corrected weights", () => {
    // Clients minimise (x - m_k)^2 / 2 and need 1 and 5 time units; the server aggregates every time unit.
    const run = (corrected: boolean) => {
      const time = [1, 5];
      const target = [0, 1];
      const p = [0.5, 0.5];
      const d = corrected
        ? fedfixWeights({ rule: "fedfix", importance: p, time, rate: [1, 1], interval: 1 })
        : p.slice();
      let x = 0;
      const sent = [0, 0];
      for (let now = 1; now <= 4000; now++) {
        let step = 0;
        for (const k of [0, 1]) if (now % time[k]! === 0) step += d[k]! * 0.02 * (target[k]! - sent[k]!);
        x += step;
        for (const k of [0, 1]) if (now % time[k]! === 0) sent[k] = x;
      }
      return x;
    };
    expect(run(true)).toBeCloseTo(0.5, 1);
    expect(run(false)).toBeCloseTo(1 / 6, 1); // shares 1 : 1/5
    expect(Math.abs(run(true) - 0.5)).toBeLessThan(0.05);
    expect(Math.abs(run(false) - 0.5)).toBeGreaterThan(0.25);
  });
});

describe("afa", () => {
  test("one step at rate 1 from all clients is a parallel SGD step", async () => {
    const found = await mergeOne(gpu, afa, tensor, { values: { eta_l: 1, eta: 0.3 }, perModel: [{ steps: 1 }] });
    near(found, (i) => base[i]! - (0.3 / 3) * (3 * base[i]! - a[i]! - b[i]! - c[i]!));
  });

  test("the number of local steps does not weigh", async () => {
    // A client that took n equal steps sends the same mean gradient as one that took a single one.
    const far = base.map((x, i) => x + 4 * (a[i]! - x));
    const options = { values: { eta_l: 0.1, eta: 0.1 } };
    const one = await mergeOne(gpu, afa, tensor, { ...options, perModel: [{ steps: 1 }] });
    const four = await mergeOne(
      gpu,
      afa,
      { ...tensor, models: [far, b, c] },
      { ...options, perModel: [{ steps: 4 }, { steps: 1 }, { steps: 1 }] },
    );
    near(four, (i) => one[i]!);
  });

  test("a remembered gradient counts from its own start", async () => {
    const start = random(7);
    const perModel = [{ steps: 2 }, { steps: 5, start: saved(start) }, { steps: 1 }];
    const found = await mergeOne(gpu, afa, tensor, { values: { eta_l: 0.5, eta: 0.25 }, perModel });
    const g = (i: number) =>
      (base[i]! - a[i]!) / (0.5 * 2) + (start[i]! - b[i]!) / (0.5 * 5) + (base[i]! - c[i]!) / 0.5;
    near(found, (i) => base[i]! - (0.25 / 3) * g(i));
  });
});

describe("admm", () => {
  const previous = [5, 6, 7].map(random);

  test("is the mean of 2 x - x' over the clients", async () => {
    const perModel = previous.map((values) => ({ previous: saved(values) }));
    const found = await mergeOne(gpu, admm, { shape, models }, { perModel });
    near(found, (i) => models.reduce((sum, x, k) => sum + (2 * x[i]! - previous[k]![i]!) / 3, 0));
  });

  test("reads and writes 16-bit types, over more than one span", async () => {
    const size = 8195;
    const [x, before] = [11, 12].map((seed) => Float32Array.from(randomArray(size, normal(seed))));
    const file = path.join(folder, "wide.safetensors");
    writeCheckpoint(file, { w: { shape: [size], values: before! } });
    for (const dtype of ["BF16", "F16"] as const) {
      const options = { inDtype: dtype, outDtype: dtype, perModel: [{ previous: file }] };
      const found = await mergeOne(gpu, admm, { shape: [size], models: [x!] }, options);
      for (const [i, value] of found.entries()) {
        const want = 2 * x![i]! - before![i]!;
        expect(Math.abs(value - want)).toBeLessThan(2 ** -6 * Math.max(1, Math.abs(x![i]!), Math.abs(want)));
      }
    }
  });

  test("clients that stand still are averaged", async () => {
    const perModel = models.map((values) => ({ previous: saved(values) }));
    near(await mergeOne(gpu, admm, { shape, models }, { perModel }), (i) => (a[i]! + b[i]! + c[i]!) / 3);
  });

  test("its iterates with exact client steps reach the pooled optimum of least squares", () => {
    // J_k = h_k (x - m_k)^2 / 2: x <- (h x + rho w) / (h + rho), which is the card's closed form in one dimension.
    const h = [1, 2, 5];
    const m = [-1, 0.5, 2];
    const rho = 2.5;
    let x = m.map((mk, k) => (h[k]! * mk) / (h[k]! + rho));
    let before = [0, 0, 0]; // the start x = argmin J + rho x^2 / 2 is a step from 0
    let w = 0;
    for (let n = 0; n < 400; n++) {
      w = x.reduce((sum, xk, k) => sum + (2 * xk - before[k]!) / 3, 0);
      const next = x.map((xk, k) => (h[k]! * xk + rho * w) / (h[k]! + rho));
      before = x;
      x = next;
    }
    const pooled = h.reduce((sum, hk, k) => sum + hk * m[k]!, 0) / 8;
    expect(w).toBeCloseTo(pooled, 6);
  });

  test("an iterate that lacks a tensor is refused", async () => {
    const file = saved(a);
    const run = mergeOne(gpu, admm, { name: "v", shape, models }, { perModel: [{ previous: file }] });
    await expect(run).rejects.toThrow(`${file} has no tensor v`);
  });
});

describe("principal_svd", () => {
  const gramOf = (rows: readonly ArrayLike<number>[]) =>
    rows.map((x) => rows.map((y) => Array.from(x).reduce((sum, value, i) => sum + value * y[i]!, 0)));
  const combined = (rows: readonly Float64Array[], weights: readonly number[]) =>
    rows[0]!.map((_, i) => rows.reduce((sum, row, k) => sum + weights[k]! * row[i]!, 0));

  test("equal updates come out as they are", async () => {
    for (const weights of [1, 2, 3, 7].map((m) => {
      const update = randomArray(50, normal(1));
      return principalWeights(gramOf(Array.from({ length: m }, () => update)), 0.8);
    })) {
      expect(weights.reduce((x, y) => x + y, 0)).toBeCloseTo(1, 9);
    }
    const found = await mergeOne(gpu, principalSvd, { shape, base, models: [a, a, a] });
    near(found, (i) => a[i]!);
  });

  test("is the definition written out with vectors", () => {
    const rows = [1, 2, 3, 4, 5].map((seed) => randomArray(40, normal(seed)));
    const gram = gramOf(rows);
    const found = combined(rows, principalWeights(gram, 0.8));
    // Power iteration with deflation stands in for the eigensolver.
    const directions: { e: number[]; s: number }[] = [];
    const matrix = gram.map((row) => row.map((value) => value / 5));
    for (let j = 0; j < 5; j++) {
      let e = [1, 0.7, -0.3, 0.2, 0.5];
      let s = 0;
      for (let n = 0; n < 5000; n++) {
        const next = matrix.map((row) => row.reduce((sum, value, k) => sum + value * e[k]!, 0));
        s = Math.hypot(...next);
        e = next.map((value) => value / s);
      }
      directions.push({ e, s });
      for (const [r, row] of matrix.entries()) for (const k of row.keys()) row[k]! -= s * e[r]! * e[k]!;
    }
    const total = directions.reduce((sum, { s }) => sum + s, 0); // of all five, of which four are kept
    expect(total).toBeCloseTo(
      gram.reduce((sum, row, k) => sum + row[k]! / 5, 0),
      8,
    );
    const wanted = new Float64Array(40);
    for (const row of rows) {
      for (const { e, s } of directions.slice(0, 4)) {
        const v = combined(rows, e);
        const along = row.reduce((sum, value, i) => sum + value * v[i]!, 0);
        const scale = (Math.sign(along) / Math.hypot(...v)) * Math.hypot(...row) * (s / total);
        for (const i of wanted.keys()) wanted[i]! += (scale * v[i]!) / rows.length;
      }
    }
    for (const [i, value] of found.entries()) expect(value).toBeCloseTo(wanted[i]!, 6);
  });

  test("updates of zero keep the base, one value takes the plain mean", async () => {
    expect(await mergeOne(gpu, principalSvd, { shape, base, models: [base, base] })).toEqual(base);
    const [value] = await mergeOne(gpu, principalSvd, { shape: [1], base: [1], models: [[2], [-5]] });
    expect(value).toBeCloseTo(-1.5, 6);
  });

  test("merges tensors of several chunks like those of one", async () => {
    const whole = await mergeOne(gpu, principalSvd, tensor);
    near(await mergeOne(gpu, principalSvd, tensor, { chunkValues: 110 }), (i) => whole[i]!);
  });
});
