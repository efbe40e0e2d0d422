import { describe, expect, test } from "bun:test";
import * as ops from "../../../src/tensor/ops/elementwise.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { covers } from "../../support/covers.ts";
import { erf } from "../../support/erf.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("elementwise/binary", "elementwise/sum-to", "elementwise/unary");

const gpu = await sharedGpu();
const SIZES = [1, 3, 255, 257, 5000];

const functions: Record<
  string,
  { f: (x: number) => number; data?: (n: number) => Float32Array; low?: number; high?: number }
> = {
  exp: { f: Math.exp },
  log: { f: Math.log, data: (n) => normals(n, n).map((x) => Math.exp(x)) },
  sqrt: { f: Math.sqrt, data: (n) => normals(n, n).map((x) => Math.exp(x)) },
  square: { f: (x) => x * x },
  abs: { f: Math.abs },
  sigmoid: { f: (x) => 1 / (1 + Math.exp(-x)), data: (n) => normals(n, n, 8) },
  log_sigmoid: { f: (x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))), data: (n) => normals(n, n, 8) },
  tanh: { f: Math.tanh },
  relu: { f: (x) => Math.max(x, 0) },
  silu: { f: (x) => x / (1 + Math.exp(-x)), data: (n) => normals(n, n, 4) },
  gelu: { f: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)), data: (n) => normals(n, n, 2) },
  gelu_tanh: {
    f: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    data: (n) => normals(n, n, 2),
  },
  quick_gelu: { f: (x) => x / (1 + Math.exp(-1.702 * x)), data: (n) => normals(n, n, 2) },
  clamp: { f: (x) => Math.min(0.7, Math.max(-0.4, x)), low: -0.4, high: 0.7 },
  round: { f: Math.round, data: (n) => normals(n, n, 4).map((x) => Math.round(x) + 0.8 * (x - Math.round(x))) },
  cos: { f: Math.cos, data: (n) => normals(n, n, 6) },
  soft_cap: { f: (x) => 3 * Math.tanh(x / 3), high: 3, data: (n) => normals(n, n, 4) },
  affine: { f: (x) => 1.5 * x - 2, low: -2, high: 1.5 },
};

test.each(Object.keys(functions))("%s and its derivative agree with float64", async (name) => {
  const { f, data = (n) => normals(n, n), low = 0, high = 0 } = functions[name]!;
  for (const n of SIZES) {
    await checkOp(gpu, name, {
      inputs: { x: { shape: [n], data: data(n) } },
      build: (rec, { x }) => ops.unary(rec, name as ops.Unary, x!, low, high),
      reference: ({ x }) => x!.map(f),
      step: 1e-4,
    });
  }
});

const binaries: Record<string, [(rec: Recorder, a: Tensor, b: Tensor) => Tensor, (a: number, b: number) => number]> = {
  add: [ops.add, (a, b) => a + b],
  sub: [ops.sub, (a, b) => a - b],
  mul: [ops.mul, (a, b) => a * b],
  div: [ops.div, (a, b) => a / b],
  maximum: [ops.maximum, Math.max],
  minimum: [ops.minimum, Math.min],
};

const SHAPES: [number[], number[]][] = [
  [[257], [257]],
  [[5, 7], [7]],
  [
    [5, 7],
    [5, 1],
  ],
  [[3], [1]],
  [[1], [4, 3]],
  [
    [2, 1, 3, 5],
    [4, 1, 5],
  ],
];

describe.each(Object.keys(binaries))("%s", (name) => {
  test.each(SHAPES)("of %j and %j, forward and back", async (left, right) => {
    const [op, f] = binaries[name]!;
    const dims = Math.max(left.length, right.length);
    const [p, q] = [left, right].map((s) => [...Array(dims - s.length).fill(1), ...s]) as [number[], number[]];
    const shape = p.map((n, i) => Math.max(n, q[i]!));
    const count = shape.reduce((a, b) => a * b, 1);
    const at = (dimensions: number[], i: number): number => {
      let [index, stride, rest] = [0, 1, i];
      for (let d = dims - 1; d >= 0; d--) {
        const place = rest % shape[d]!;
        rest = Math.floor(rest / shape[d]!);
        if (dimensions[d] !== 1) index += place * stride;
        stride *= dimensions[d]!;
      }
      return index;
    };
    const size = (s: number[]) => s.reduce((a, b) => a * b, 1);
    await checkOp(gpu, name, {
      inputs: {
        a: { shape: left, data: normals(1, size(left)) },
        b: { shape: right, data: normals(2, size(right)).map((x) => x + Math.sign(x)) },
      },
      build: (rec, { a, b }) => op(rec, a!, b!),
      reference: ({ a, b }) => Float64Array.from({ length: count }, (_, i) => f(a![at(p, i)]!, b![at(q, i)]!)),
      step: 1e-4,
    });
  });
});

test("NaN goes through everything that chooses", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: {
      x: { shape: [2], data: Float32Array.of(Number.NaN, 1) },
      y: { shape: [2], data: Float32Array.of(0, Number.NaN) },
    },
    build: (rec, { x, y }) => ({
      relu: ops.unary(rec, "relu", x!),
      clamp: ops.clamp(rec, x!, 0, 1),
      max: ops.maximum(rec, x!, y!),
      min: ops.minimum(rec, x!, y!),
    }),
  });
  expect([...outputs.relu!]).toEqual([Number.NaN, 1]);
  expect([...outputs.clamp!]).toEqual([Number.NaN, 1]);
  expect([...outputs.max!]).toEqual([Number.NaN, Number.NaN]);
  expect([...outputs.min!]).toEqual([Number.NaN, Number.NaN]);
});

test("extreme arguments", async () => {
  const data = Float32Array.of(-1e4, -100, 0, 100, 1e4);
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [5], data } },
    build: (rec, { x }) => ({
      sigmoid: ops.sigmoid(rec, x!),
      logSigmoid: ops.logSigmoid(rec, x!),
      tanh: ops.tanh(rec, x!),
      exp: ops.exp(rec, x!),
      gelu: ops.unary(rec, "gelu", x!),
    }),
  });
  expect([...outputs.tanh!]).toEqual([-1, -1, 0, 1, 1]);
  expect([...outputs.exp!]).toEqual([0, 0, 1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  expect([...outputs.logSigmoid!]).toEqual([-1e4, -100, Math.fround(-Math.LN2), 0, 0].map((x) => expect.closeTo(x, 6)));
  expect([...outputs.sigmoid!]).toEqual([0, 0, 0.5, 1, 1].map((x) => expect.closeTo(x, 12)));
  expect([...outputs.gelu!]).toEqual([0, 0, 0, 100, 1e4].map((x) => expect.closeTo(x, 6)));
});

test("a gradient stops where it is told to", async () => {
  const { gradients } = await runOp(gpu, {
    inputs: { x: { shape: [2], data: Float32Array.of(2, 3), grad: true } },
    build: (rec, { x }) => ops.mul(rec, x!, ops.stopGradient(rec, x!)),
    seeds: { y: Float32Array.of(1, 1) },
  });
  expect([...gradients.x!]).toEqual([2, 3]);
});

test.each([
  [
    [2, 3, 5, 7],
    [2, 1, 5, 7],
  ],
  [
    [2, 3, 5, 1],
    [2, 1, 5, 1],
  ],
  [
    [4, 6],
    [4, 1],
  ],
  [
    [3, 4],
    [1, 1],
  ],
  [[5], [5]],
])("sums of %j to %j agree with float64, forward and back", (from, to) => {
  const n = from.reduce((a, b) => a * b, 1);
  return checkOp(gpu, "sum to", {
    inputs: { x: { shape: from, data: normals(1, n) } },
    build: (rec, { x }) => ops.sumTo(rec, x!, to),
    reference: ({ x }) => {
      const y = new Float64Array(to.reduce((a, b) => a * b, 1));
      for (let i = 0; i < n; i++) {
        let [rest, at, stride] = [i, 0, 1];
        for (let dim = from.length - 1; dim >= 0; dim--) {
          if (to[dim] !== 1) at += (rest % from[dim]!) * stride;
          stride *= to[dim]!;
          rest = Math.floor(rest / from[dim]!);
        }
        y[at]! += x![i]!;
      }
      return y;
    },
  });
});

test("a sum to another shape is refused", () => {
  const rec = new Recorder({ subgroupSize: 0, software: true });
  expect(() => ops.sumTo(rec, rec.input("x", [4, 6]), [4, 2])).toThrow("x (4, 6) does not sum to (4, 2)");
});

test("shapes that do not broadcast are refused", async () => {
  const build = (rec: Recorder, { a, b }: Record<string, Tensor>) => ops.add(rec, a!, b!);
  const run = runOp(gpu, {
    inputs: { a: { shape: [2], data: new Float32Array(2) }, b: { shape: [3], data: new Float32Array(3) } },
    build,
  });
  expect(run).rejects.toThrow("a (2) and b (3) do not broadcast");
});
