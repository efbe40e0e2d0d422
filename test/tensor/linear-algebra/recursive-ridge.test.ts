import { expect, test } from "bun:test";
import {
  learnRows,
  type RidgeFit,
  type RidgeRows,
  RidgeSums,
  takeOutRows,
} from "../../../src/tensor/linear-algebra/recursive-ridge.ts";
import { normals, randomUnits } from "../../support/random.ts";

const [WIDTH, CLASSES, LAMBDA] = [40, 3, 0.5];

const features = Float64Array.from(normals(1, 200 * WIDTH));
const unit = randomUnits(2);
const labels = Array.from({ length: 200 }, () => Math.floor(CLASSES * unit()));

const rowsOf = (chosen: readonly number[]): RidgeRows => {
  const targets = new Float64Array(chosen.length * CLASSES);
  for (const [i, row] of chosen.entries()) targets[i * CLASSES + labels[row]!] = 1;
  return {
    count: chosen.length,
    features: Float64Array.from(chosen.flatMap((row) => [...features.subarray(row * WIDTH, (row + 1) * WIDTH)])),
    targets,
  };
};

const range = (from: number, end: number) => Array.from({ length: end - from }, (_, i) => from + i);

function fitted(chosen: readonly number[]): RidgeFit {
  const sums = new RidgeSums(WIDTH, CLASSES);
  sums.add(rowsOf(chosen));
  return sums.fit(LAMBDA);
}

/** Largest difference over the largest value, of R and of W. */
function apart(a: RidgeFit, b: RidgeFit): number {
  const of = (x: Float64Array, y: Float64Array) =>
    x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0) /
    y.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Math.max(of(a.inverse, b.inverse), of(a.weights, b.weights));
}

test("the fit solves the normal equations", () => {
  const { weights } = fitted(range(0, 200));
  const { targets } = rowsOf(range(0, 200));
  for (let i = 0; i < WIDTH; i++)
    for (let c = 0; c < CLASSES; c++) {
      let slope = LAMBDA * weights[i * CLASSES + c]!;
      for (let row = 0; row < 200; row++) {
        let said = -targets[row * CLASSES + c]!;
        for (let j = 0; j < WIDTH; j++) said += features[row * WIDTH + j]! * weights[j * CLASSES + c]!;
        slope += said * features[row * WIDTH + i]!;
      }
      expect(Math.abs(slope)).toBeLessThan(1e-11);
    }
});

test("rows that are taken out leave the fit of the others, in any order and in any parts", () => {
  const refit = fitted(range(100, 200));
  const once = fitted(range(0, 200));
  expect(takeOutRows(once, rowsOf(range(0, 100)))).toBe(true);
  expect(apart(once, refit)).toBeLessThan(1e-12);
  const single = fitted(range(0, 200));
  for (const row of range(0, 100).reverse()) expect(takeOutRows(single, rowsOf([row]))).toBe(true);
  expect(apart(single, refit)).toBeLessThan(1e-12);
});

test("rows that are learnt and taken out again leave the fit as it was, more than a part of them", () => {
  const fit = fitted(range(0, 30));
  const many = Array.from({ length: 300 }, (_, i) => 30 + (i % 170));
  learnRows(fit, rowsOf(many));
  expect(apart(fit, fitted([...range(0, 30), ...many]))).toBeLessThan(1e-12);
  expect(takeOutRows(fit, rowsOf(many))).toBe(true);
  expect(apart(fit, fitted(range(0, 30)))).toBeLessThan(1e-10);
});

test("rows that are not in the fit are refused where nothing else explains them", () => {
  const fit = fitted(range(0, 10));
  expect(takeOutRows(fit, rowsOf([50]))).toBe(false);
  expect(takeOutRows(fit, rowsOf([3]))).toBe(true);
  expect(takeOutRows(fit, rowsOf([3]))).toBe(false);
});
