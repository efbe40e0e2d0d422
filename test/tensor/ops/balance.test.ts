/** Counts of experts' slots, the load-balancing loss and the z-loss of routers against float64 loops. */
import { expect, test } from "bun:test";
import { balanceLoss, excessLoad, expertLoad, routerZLoss } from "../../../src/tensor/ops/balance.ts";
import { route } from "../../../src/tensor/ops/router.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("moe/load", "moe/balance", "moe/balance-gradient");
const gpu = await sharedGpu();

/** Experts of tokens (n, k), and marks with padding at the end of every row. */
function tokens(n: number, e: number, k: number, rows: number) {
  const draws = normals(7, n * k, 3);
  const experts = Uint32Array.from(draws, (x) => Math.abs(Math.round(x)) % e);
  const length = n / rows;
  const marks = Float32Array.from({ length: n }, (_, i) => (i % length >= length - 1 && length > 2 ? 0 : 1));
  return { experts, marks };
}

test.each([
  [1, 3, 1, 1],
  [65, 5, 2, 1],
  [129, 2, 3, 1],
  [140, 7, 2, 2],
  [21, 4, 1, 7],
] as const)("%d tokens over %d experts, %d each, in %d rows: padding is not counted", async (n, e, k, rows) => {
  const { experts, marks } = tokens(n, e, k, rows);
  const { outputs } = await runOp(gpu, {
    inputs: { experts: { shape: [n, k], data: experts, dtype: "u32" }, marks: { shape: [n], data: marks } },
    build: (rec, { experts, marks }) => {
      const loads = expertLoad(rec, experts!, marks!, { experts: e, rows });
      return { loads, excess: excessLoad(rec, loads) };
    },
  });
  const expected = new Float64Array(rows * e);
  for (let i = 0; i < n * k; i++) {
    const token = Math.floor(i / k);
    expected[Math.floor(token / (n / rows)) * e + experts[i]!]! += marks[token]!;
  }
  expect([...outputs.loads!]).toEqual([...expected]);
  for (let row = 0; row < rows; row++) {
    const own = expected.subarray(row * e, row * e + e);
    const whole = own.reduce((a, b) => a + b);
    for (const [i, load] of own.entries()) expect(outputs.excess![row * e + i]).toBeCloseTo((e * load) / whole - 1, 5);
  }
});

test("no token that counts: nobody is above its part", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: { loads: { shape: [1, 3], data: new Float32Array(3) } },
    build: (rec, { loads }) => excessLoad(rec, loads!),
  });
  expect([...outputs.y!]).toEqual([-1, -1, -1]);
});

/** Probabilities of a row. */
function shares(row: Float64Array, sigmoid: boolean): Float64Array {
  const most = Math.max(...row);
  const own = row.map((x) => (sigmoid ? 1 / (1 + Math.exp(-x)) : Math.exp(x - most)));
  const whole = own.reduce((a, b) => a + b);
  return own.map((x) => x / whole);
}

test.each([
  [13, 5, 1, false],
  [13, 5, 1, true],
  [12, 3, 4, false],
  [12, 70, 3, true],
] as const)("%d tokens, %d experts, %d rows, sigmoid %p: loss forward and back", async (n, e, rows, sigmoid) => {
  const weights = Float32Array.from({ length: n }, (_, i) => (i % 4 === 3 ? 0 : 1 / n));
  const excess = normals(3, rows * e, 0.5);
  await checkOp(gpu, "balance loss", {
    inputs: {
      logits: { shape: [n, e], data: normals(1, n * e, 1.5) },
      excess: { shape: [rows, e], data: excess, grad: false },
      weights: { shape: [n], data: weights, grad: false },
    },
    build: (rec, { logits, excess, weights }) =>
      balanceLoss(rec, logits!, { excess: excess!, weights: weights!, sigmoid }),
    reference: ({ logits, excess, weights }) => {
      let loss = 1;
      for (let i = 0; i < n; i++) {
        const p = shares(logits!.subarray(i * e, i * e + e), sigmoid);
        const row = Math.floor(i / (n / rows));
        for (const [j, share] of p.entries()) loss += weights![i]! * excess![row * e + j]! * share;
      }
      return Float64Array.of(loss);
    },
  });
});

test("z-loss: the squared log of the summed exponentials, forward and back", async () => {
  const [n, e] = [9, 5];
  const weights = Float32Array.from({ length: n }, (_, i) => (i === 4 ? 0 : 1 / 8));
  await checkOp(gpu, "router z-loss", {
    inputs: {
      logits: { shape: [n, e], data: normals(2, n * e, 2) },
      weights: { shape: [n, 1], data: weights, grad: false },
    },
    build: (rec, { logits, weights }) => routerZLoss(rec, logits!, weights!),
    reference: ({ logits, weights }) => {
      let loss = 0;
      for (let i = 0; i < n; i++) {
        const row = logits!.subarray(i * e, i * e + e);
        loss += weights![i]! * Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) ** 2;
      }
      return Float64Array.of(loss);
    },
  });
});

test("1 for even use and E when one expert takes all", async () => {
  const balance = async (data: Float32Array) => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        logits: { shape: [4, 4], data },
        marks: { shape: [4], data: Float32Array.of(1, 1, 1, 1) },
        weights: { shape: [4], data: Float32Array.of(0.25, 0.25, 0.25, 0.25) },
      },
      build: (rec, { logits, marks, weights }) => {
        const { plan } = route(rec, logits!, { k: 1, normalize: false });
        const excess = excessLoad(rec, expertLoad(rec, plan.expertOf, marks!, { experts: 4 }));
        return balanceLoss(rec, logits!, { excess, weights: weights! });
      },
    });
    return outputs.y![0]!;
  };
  const even = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 60 : 0));
  const alone = Float32Array.from({ length: 16 }, (_, i) => (i % 4 === 2 ? 60 : 0));
  expect(await balance(even)).toBeCloseTo(1, 6);
  expect(await balance(alone)).toBeCloseTo(4, 6);
});
