/** Ops on values that are differentiable twice (value.ts). Sums and repeats see a value as (outer, middle, inner). */
import { sizeOf } from "../tensor.ts";
import { constant, result, type Value } from "./value.ts";

function sameShape(a: Value, b: Value): void {
  if (a.data.length !== b.data.length)
    throw new RangeError(`(${a.shape.join()}) and (${b.shape.join()}) do not go together`);
}

function pairwise(a: Value, b: Value, of: (x: number, y: number) => number): Float64Array {
  sameShape(a, b);
  const made = new Float64Array(a.data.length);
  for (let i = 0; i < made.length; i++) made[i] = of(a.data[i]!, b.data[i]!);
  return made;
}

export const add = (a: Value, b: Value): Value =>
  result(
    pairwise(a, b, (x, y) => x + y),
    a.shape,
    [a, b],
    [(g) => g, (g) => g],
  );

export const sub = (a: Value, b: Value): Value =>
  result(
    pairwise(a, b, (x, y) => x - y),
    a.shape,
    [a, b],
    [(g) => g, (g) => times(g, -1)],
  );

export const mul = (a: Value, b: Value): Value =>
  result(
    pairwise(a, b, (x, y) => x * y),
    a.shape,
    [a, b],
    [(g) => mul(g, b), (g) => mul(g, a)],
  );

/** x times a number. */
export const times = (x: Value, by: number): Value =>
  result(
    x.data.map((v) => v * by),
    x.shape,
    [x],
    [(g) => times(g, by)],
  );

/** x plus a number. */
export const shift = (x: Value, by: number): Value =>
  result(
    x.data.map((v) => v + by),
    x.shape,
    [x],
    [(g) => g],
  );

export const reshape = (x: Value, shape: readonly number[]): Value => {
  if (sizeOf(shape) !== x.data.length) throw new RangeError(`(${x.shape.join()}) cannot be seen as (${shape.join()})`);
  return result(x.data, shape, [x], [(g) => reshape(g, x.shape)]);
};

type Parts = readonly [outer: number, middle: number, inner: number];

/** Sums over the middle: a value of (outer, inner) numbers, seen as `shape`. */
export function sumOver(x: Value, parts: Parts, shape: readonly number[]): Value {
  const [outer, middle, inner] = parts;
  const made = new Float64Array(outer * inner);
  for (let o = 0; o < outer; o++)
    for (let m = 0; m < middle; m++)
      for (let i = 0, at = (o * middle + m) * inner; i < inner; i++) made[o * inner + i]! += x.data[at + i]!;
  return result(made, shape, [x], [(g) => repeat(g, parts, x.shape)]);
}

/** Repeats (outer, inner) numbers along the middle. */
export function repeat(x: Value, parts: Parts, shape: readonly number[]): Value {
  const [outer, middle, inner] = parts;
  const made = new Float64Array(outer * middle * inner);
  for (let o = 0; o < outer; o++)
    for (let m = 0; m < middle; m++)
      for (let i = 0, at = (o * middle + m) * inner; i < inner; i++) made[at + i] = x.data[o * inner + i]!;
  return result(made, shape, [x], [(g) => sumOver(g, parts, x.shape)]);
}

/** The sum of all numbers, of shape (1). */
export const sum = (x: Value): Value => sumOver(x, [1, x.data.length, 1], [1]);

export const mean = (x: Value): Value => times(sum(x), 1 / x.data.length);

export const sumOfSquares = (x: Value): Value => sum(mul(x, x));

/** x times a value of one number. */
export const scaledBy = (x: Value, factor: Value): Value => mul(x, repeat(factor, [1, x.data.length, 1], x.shape));

/** Rows (n, d) plus one row (d). */
export const addRow = (x: Value, row: Value): Value => add(x, repeat(row, [1, x.shape[0]!, x.shape[1]!], x.shape));

/** Rows (n, d) times one row (d). */
export const mulRow = (x: Value, row: Value): Value => mul(x, repeat(row, [1, x.shape[0]!, x.shape[1]!], x.shape));

export const exp = (x: Value): Value => {
  const made: Value = result(x.data.map(Math.exp), x.shape, [x], [(g) => mul(g, made)]);
  return made;
};

export const log = (x: Value): Value => result(x.data.map(Math.log), x.shape, [x], [(g) => mul(g, power(x, -1))]);

export const power = (x: Value, exponent: number): Value =>
  result(
    x.data.map((v) => v ** exponent),
    x.shape,
    [x],
    [(g) => times(mul(g, power(x, exponent - 1)), exponent)],
  );

/** The norm of all numbers, of shape (1); at 0 its gradient is 0. */
export function norm(x: Value): Value {
  const square = sumOfSquares(x);
  return square.data[0] === 0 ? times(square, 0) : power(square, 0.5);
}

export const relu = (x: Value): Value => {
  const above = constant(
    x.data.map((v) => (v > 0 ? 1 : 0)),
    x.shape,
  );
  return mul(x, above);
};

export const sigmoid = (x: Value): Value => {
  const made: Value = result(
    x.data.map((v) => 1 / (1 + Math.exp(-v))),
    x.shape,
    [x],
    [(g) => mul(g, mul(made, shift(times(made, -1), 1)))],
  );
  return made;
};

/** x Phi(x), with Phi the normal distribution's. */
export const gelu = (x: Value): Value => mul(x, normalShare(x));

const normalShare = (x: Value): Value =>
  result(
    x.data.map((v) => 0.5 * erfc(-v / Math.SQRT2)),
    x.shape,
    [x],
    [(g) => mul(g, times(exp(times(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI)))],
  );

/** 1 - erf(x): a series near 0, elsewhere Lentz's continued fraction; relative error below 1e-13. */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) {
    let [term, total] = [x, x];
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(total) && k < 200; k++) {
      term *= (-x * x) / k;
      total += term / (2 * k + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * total;
  }
  let below = x;
  for (let k = 60; k >= 1; k--) below = x + k / 2 / below;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / below;
}

interface Turned {
  /** The first matrix is turned: (k, n). */
  readonly ta?: boolean;
  /** The second one is: (m, k). */
  readonly tb?: boolean;
}

/** The product of matrices (n, k) and (k, m), either of which may be turned, but not both. */
export function matmul(a: Value, b: Value, { ta = false, tb = false }: Turned = {}): Value {
  if (ta && tb) throw new RangeError("one of the matrices at most is turned");
  const [n, k] = ta ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  const [m, other] = tb ? [b.shape[0]!, b.shape[1]!] : [b.shape[1]!, b.shape[0]!];
  if (k !== other) throw new RangeError(`(${a.shape.join()}) and (${b.shape.join()}) have no product`);
  const made = product(a.data, b.data, { n, k, m, ta, tb });
  const back = ta
    ? [(g: Value) => matmul(b, g, { tb: true }), (g: Value) => matmul(a, g)]
    : tb
      ? [(g: Value) => matmul(g, b), (g: Value) => matmul(g, a, { ta: true })]
      : [(g: Value) => matmul(g, b, { tb: true }), (g: Value) => matmul(a, g, { ta: true })];
  return result(made, [n, m], [a, b], back);
}

function product(
  a: Float64Array,
  b: Float64Array,
  { n, k, m, ta, tb }: { readonly n: number; readonly k: number; readonly m: number } & Required<Turned>,
): Float64Array {
  const made = new Float64Array(n * m);
  if (tb) {
    for (let i = 0; i < n; i++)
      for (let j = 0; j < m; j++) {
        let total = 0;
        for (let c = 0, at = i * k, bt = j * k; c < k; c++) total += a[at + c]! * b[bt + c]!;
        made[i * m + j] = total;
      }
    return made;
  }
  for (let i = 0; i < n; i++)
    for (let c = 0; c < k; c++) {
      const factor = ta ? a[c * n + i]! : a[i * k + c]!;
      if (factor === 0) continue; // much is, behind rectifiers
      for (let j = 0, at = i * m, bt = c * m; j < m; j++) made[at + j]! += factor * b[bt + j]!;
    }
  return made;
}

/** Some rows of (n, ...), in any order, each as often as it is named. */
export function takeRows(x: Value, rows: readonly number[]): Value {
  const width = x.data.length / x.shape[0]!;
  const made = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) made.set(x.data.subarray(row * width, (row + 1) * width), i * width);
  return result(made, [rows.length, ...x.shape.slice(1)], [x], [(g) => putRows(g, rows, x.shape)]);
}

/** Rows added up at their places among (n, ...); zeros elsewhere. */
function putRows(x: Value, rows: readonly number[], shape: readonly number[]): Value {
  const made = new Float64Array(sizeOf(shape));
  const width = made.length / shape[0]!;
  for (const [i, row] of rows.entries())
    for (let c = 0; c < width; c++) made[row * width + c]! += x.data[i * width + c]!;
  return result(made, shape, [x], [(g) => takeRows(g, rows)]);
}

/** Numbers at some places of x, each as often as it is named, seen as `shape`. */
export const pick = (x: Value, at: Int32Array, shape: readonly number[]): Value =>
  result(
    Float64Array.from(at, (place) => x.data[place]!),
    shape,
    [x],
    [(g) => spread(g, at, x.shape)],
  );

/** Numbers added up at their places of a value of `shape`; zeros elsewhere. */
function spread(x: Value, at: Int32Array, shape: readonly number[]): Value {
  const made = new Float64Array(sizeOf(shape));
  for (let i = 0; i < at.length; i++) made[at[i]!]! += x.data[i]!;
  return result(made, shape, [x], [(g) => pick(g, at, x.shape)]);
}

/** A linear map of the numbers of a row: out[to[e]] += weight[e] in[from[e]]. */
export interface LinearMap {
  readonly inputs: number;
  readonly outputs: number;
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly weight: Float64Array;
}

/** The same map of every row of (n, inputs): (n, outputs). */
export function mapped(x: Value, map: LinearMap): Value {
  const { inputs, outputs, from, to, weight } = map;
  const rows = x.data.length / inputs;
  const made = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++)
    for (let e = 0; e < from.length; e++)
      made[row * outputs + to[e]!]! += weight[e]! * x.data[row * inputs + from[e]!]!;
  const turned = { ...map, inputs: outputs, outputs: inputs, from: to, to: from };
  return result(made, [rows, outputs], [x], [(g) => reshape(mapped(g, turned), x.shape)]);
}

/** Log-probabilities of rows of logits (n, c). */
export function logSoftmax(z: Value): Value {
  const [n = 0, c = 0] = z.shape;
  const most = Float64Array.from({ length: n * c }, (_, i) => {
    const from = Math.floor(i / c) * c;
    return z.data.subarray(from, from + c).reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  });
  const moved = sub(z, constant(most, z.shape));
  const totals = log(sumOver(exp(moved), [n, c, 1], [n]));
  return sub(moved, repeat(totals, [n, c, 1], z.shape));
}

/** The mean over rows of -sum of targets times log-probabilities; targets are (n, c). */
export const crossEntropy = (logits: Value, targets: Value): Value =>
  times(sum(mul(targets, logSoftmax(logits))), -1 / logits.shape[0]!);

/** Rows with a 1 at their class, (n, classes). */
export function oneHot(labels: readonly number[], classes: number): Value {
  const made = new Float64Array(labels.length * classes);
  for (const [i, label] of labels.entries()) made[i * classes + label] = 1;
  return constant(made, [labels.length, classes]);
}
