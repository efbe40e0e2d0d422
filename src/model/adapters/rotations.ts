/** Rotations from skew matrices, as PEFT's OFT makes them: recorded for training, on the host for folding. */

import { blockProduct, turnBlocks } from "../../tensor/ops/blocks.ts";
import { add, div, maximum, mul, scale, sqrt, square, sub } from "../../tensor/ops/elementwise.ts";
import { gather } from "../../tensor/ops/gather.ts";
import { inverse } from "../../tensor/ops/inverse.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Entries above the diagonal of a matrix of this side. */
export const entriesAbove = (side: number): number => (side * (side - 1)) / 2;

/** Place of entry (row, column) among those above the diagonal, row by row. */
const placeOf = (row: number, column: number, side: number): number =>
  row * side - (row * (row + 1)) / 2 + column - row - 1;

/** Q (blocks, side, side) of the entries above its diagonal, (blocks, side (side - 1) / 2), negated below it. */
export function skew(rec: Recorder, entries: Tensor, side: number): Tensor {
  const [blocks = 0] = entries.shape;
  const cells = side * side;
  const places = new Int32Array(blocks * cells).fill(-1);
  const signs = new Float32Array(cells);
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      if (row === column) continue;
      const at = row * side + column;
      signs[at] = row < column ? 1 : -1;
      const place = placeOf(Math.min(row, column), Math.max(row, column), side);
      for (let e = 0; e < blocks; e++) places[e * cells + at] = place;
    }
  const spread = gather(rec, entries, rec.constant(places, [blocks, cells], `places of ${entries.label}`));
  const signed = mul(rec, spread, rec.constant(signs, [1, cells], `signs of ${entries.label}`));
  return rec.reshape(signed, [blocks, side, side]);
}

/**
 * Entries above the diagonals of blocks' Q, (blocks, n), cut so that no Q is longer than `limit`. Q has every entry
 * twice, which makes it longer by the root of 2.
 */
export function withinLength(rec: Recorder, entries: Tensor, limit: number): Tensor {
  const [blocks = 0] = entries.shape;
  // In units of the limit, so that squares of small numbers do not vanish.
  const relative = scale(rec, entries, Math.SQRT2 / limit);
  const squares = rec.reshape(rowSum(rec, square(rec, relative)), [blocks, 1]);
  const one = rec.constant(Float32Array.of(1), [1, 1], "one");
  return div(rec, entries, sqrt(rec, maximum(rec, squares, one)));
}

/** Coefficients of I, Q, Q^2, ... of the truncated Cayley transform: 1, 2, 2, ..., 1. */
export const neumannWeights = (terms: number): number[] => {
  if (terms < 2) return [1];
  if (terms === 2) return [1, 2];
  const last = Math.max(3, terms - 1);
  return Array.from({ length: last + 1 }, (_, power) => (power === 0 || power === last ? 1 : 2));
};

/** (I + Q)(I - Q)^-1 as a power series cut off, of blocks Q (E, side, side). */
export function neumannCayley(rec: Recorder, q: Tensor, terms: number): Tensor {
  const [, side = 0] = q.shape;
  const one = Float32Array.from({ length: side * side }, (_, at) => (at % (side + 1) === 0 ? 1 : 0));
  let sum = rec.constant(one, [1, side, side], `identity of ${q.label}`);
  let power = q;
  for (const [exponent, weight] of neumannWeights(terms).entries()) {
    if (exponent === 0) continue;
    if (exponent > 1) power = blockProduct(rec, power, q);
    sum = add(rec, sum, weight === 1 ? power : scale(rec, power, weight));
  }
  return sum;
}

/** (I - S)(I + S)^-1 = 2 (I + S)^-1 - I of skew blocks (E, side, side). */
export function cayley(rec: Recorder, s: Tensor): Tensor {
  const [, side = 0] = s.shape;
  const one = Float32Array.from({ length: side * side }, (_, at) => (at % (side + 1) === 0 ? 1 : 0));
  const identity = rec.constant(one, [1, side, side], `identity of ${s.label}`);
  return sub(rec, scale(rec, inverse(rec, add(rec, s, identity)), 2), identity);
}

/** (D - D^T) / 2 of blocks (E, side, side). */
export const skewPart = (rec: Recorder, d: Tensor): Tensor => scale(rec, sub(rec, d, turnBlocks(rec, d)), 0.5);

/** Matrices of f64 on the host, row by row. */
type Matrix = Float64Array;

const product = (a: Matrix, b: Matrix, side: number): Matrix => {
  const c = new Float64Array(side * side);
  for (let i = 0; i < side; i++)
    for (let k = 0; k < side; k++)
      for (let j = 0; j < side; j++) c[i * side + j]! += a[i * side + k]! * b[k * side + j]!;
  return c;
};

const identity = (side: number): Matrix =>
  Float64Array.from({ length: side * side }, (_, at) => (at % (side + 1) === 0 ? 1 : 0));

/** Q from the entries above its diagonal, cut to a length (the root of the sum of all squares) if it is longer. */
export function skewOnHost(entries: Float32Array, side: number, limit = Number.POSITIVE_INFINITY): Matrix {
  const length = Math.sqrt(2 * entries.reduce((sum, x) => sum + x ** 2, 0));
  const share = length > limit ? limit / length : 1;
  const q = new Float64Array(side * side);
  for (let row = 0, at = 0; row < side; row++)
    for (let column = row + 1; column < side; column++, at++) {
      q[row * side + column] = share * entries[at]!;
      q[column * side + row] = -share * entries[at]!;
    }
  return q;
}

export function neumannOnHost(q: Matrix, side: number, terms: number): Matrix {
  const sum = identity(side);
  let power = q;
  for (const [exponent, weight] of neumannWeights(terms).entries()) {
    if (exponent === 0) continue;
    if (exponent > 1) power = product(power, q, side);
    for (let at = 0; at < sum.length; at++) sum[at]! += weight * power[at]!;
  }
  return sum;
}

/**
 * (I - Q)(I + Q)^-1, which is (I + Q)^-1 (I - Q), by elimination with pivots. I + Q of a skew Q has an inverse always.
 */
export function cayleyOnHost(q: Matrix, side: number): Matrix {
  const left = identity(side).map((x, at) => x + q[at]!);
  const right = identity(side).map((x, at) => x - q[at]!);
  const swap = (m: Matrix, a: number, b: number) => {
    for (let j = 0; j < side; j++) [m[a * side + j], m[b * side + j]] = [m[b * side + j]!, m[a * side + j]!];
  };
  for (let column = 0; column < side; column++) {
    let pivot = column;
    for (let row = column + 1; row < side; row++)
      if (Math.abs(left[row * side + column]!) > Math.abs(left[pivot * side + column]!)) pivot = row;
    if (pivot !== column) for (const m of [left, right]) swap(m, pivot, column);
    const factor = 1 / left[column * side + column]!;
    for (const m of [left, right]) for (let j = 0; j < side; j++) m[column * side + j]! *= factor;
    for (let row = 0; row < side; row++) {
      const own = left[row * side + column]!;
      if (row === column || own === 0) continue;
      for (const m of [left, right]) for (let j = 0; j < side; j++) m[row * side + j]! -= own * m[column * side + j]!;
    }
  }
  return right;
}
