/**
 * Values that are differentiable twice: gradients, and gradients of these, by differences; numbers in plain arithmetic.
 */
import { expect, test } from "bun:test";
import { inverse } from "../../src/tensor/twice/inverse.ts";
import * as ops from "../../src/tensor/twice/ops.ts";
import { constant, gradients, held, untaped, type Value, variable } from "../../src/tensor/twice/value.ts";
import { normals } from "../support/random.ts";

const numbers = (count: number, seed: number) => Float64Array.from(normals(seed, count));
const STEP = 1e-5;

/** The slope of `of` along each number of x. */
const slopes = (of: (x: Float64Array) => number, x: Float64Array): number[] =>
  Array.from(x, (_, i) => {
    const moved = (by: number) => of(x.map((v, j) => (j === i ? v + by : v)));
    return (moved(STEP) - moved(-STEP)) / (2 * STEP);
  });

const near = (found: ArrayLike<number>, wanted: ArrayLike<number>) => {
  for (let i = 0; i < wanted.length; i++) expect(found[i]!).toBeCloseTo(wanted[i]!, 6);
};

const MAP = {
  ...{ inputs: 4, outputs: 3 },
  from: Int32Array.of(0, 3, 1, 1),
  to: Int32Array.of(2, 0, 0, 2),
  weight: Float64Array.of(1, -2, 0.5, 3),
};
const other = constant(numbers(12, 9), [3, 4]);
const OPS: Readonly<Record<string, (x: Value) => Value>> = {
  "add, sub, mul": (x) => ops.mul(ops.add(x, other), ops.sub(x, ops.mul(x, x))),
  "times, shift": (x) => ops.power(ops.shift(ops.times(x, 0.3), 4), 1.7),
  "rows and columns": (x) => ops.addRow(ops.mulRow(x, ops.sumOver(x, [1, 3, 4], [4])), ops.sumOver(x, [1, 3, 4], [4])),
  "exp, log": (x) => ops.log(ops.shift(ops.exp(x), 0.5)),
  relu: (x) => ops.relu(ops.mul(x, x)),
  sigmoid: ops.sigmoid,
  gelu: ops.gelu,
  norm: (x) => ops.scaledBy(x, ops.norm(x)),
  product: (x) => ops.matmul(x, ops.reshape(x, [4, 3])),
  "product, first turned": (x) => ops.matmul(x, x, { ta: true }),
  "product, second turned": (x) => ops.matmul(x, x, { tb: true }),
  "rows taken": (x) => ops.mul(ops.takeRows(x, [2, 0, 2]), x),
  "numbers taken": (x) => ops.power(ops.pick(ops.mul(x, x), Int32Array.of(1, 7, 7, 11), [4]), 2),
  "a linear map": (x) => ops.mapped(ops.mul(x, x), MAP),
  inverse: (x) => {
    const gram = ops.matmul(x, x, { tb: true });
    return inverse(ops.add(gram, constant([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3])));
  },
  softmax: (x) => ops.logSoftmax(ops.times(x, 2)),
  "cross-entropy": (x) => ops.crossEntropy(x, ops.oneHot([1, 3, 0], 4)),
};

for (const [name, op] of Object.entries(OPS))
  test(`${name}: first and second gradients`, () => {
    const start = numbers(12, 3);
    const weigh = (y: Value) => ops.sum(ops.mul(y, constant(numbers(y.data.length, 5), y.shape)));
    const first = (data: Float64Array, once = false) => {
      const x = variable(data, [3, 4]);
      return { x, gradient: gradients(weigh(op(x)), [x], { once })[0]! };
    };
    const value = (data: Float64Array) => weigh(op(constant(data, [3, 4]))).data[0]!;
    near(first(start).gradient.data, slopes(value, start));
    expect(first(start, true).gradient.data).toEqual(first(start).gradient.data);
    const along = constant(numbers(12, 7), [3, 4]);
    const { x, gradient } = first(start);
    const [second] = gradients(ops.sum(ops.mul(gradient, along)), [x]);
    near(
      second!.data,
      slopes((data) => ops.sum(ops.mul(first(data, true).gradient, along)).data[0]!, start),
    );
  });

test("a cube has the gradients 3 w^2, 6 w and 6", () => {
  const w = variable([0.5, 2], [2]);
  const [slope] = gradients(ops.sum(ops.mul(w, ops.mul(w, w))), [w]);
  const [curve] = gradients(ops.sum(slope!), [w]);
  const [third] = gradients(ops.sum(curve!), [w]);
  expect([slope, curve, third].map((g) => [...g!.data])).toEqual([
    [0.75, 12],
    [3, 12],
    [6, 6],
  ]);
});

test("nothing is remembered where no gradient is asked for", () => {
  const w = variable([2], [1]);
  const square = untaped(() => ops.mul(w, w));
  expect([square.isFree, square.from.length]).toEqual([false, 0]);
  expect([...gradients(ops.mul(held(w), w), [w])[0]!.data]).toEqual([2]);
  expect([...gradients(constant([1], [1]), [w])[0]!.data]).toEqual([0]);
});

test("the complement of the error function", () => {
  const known = [
    [-1, 1.842700792949715],
    [0, 1],
    [0.5, 0.4795001221869535],
    [2, 0.004677734981047266],
    [3, 2.209049699858544e-5],
  ] as const;
  for (const [x, wanted] of known) expect(ops.erfc(x) / wanted).toBeCloseTo(1, 11);
});
