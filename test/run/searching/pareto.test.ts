import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { crowding, dominates, fronts, hypervolume, survivors } from "../../../src/run/searching/pareto.ts";

test("a point dominates what it is nowhere above and somewhere below", () => {
  expect(dominates([1, 2], [1, 3])).toBe(true);
  expect(dominates([1, 2], [1, 2])).toBe(false);
  expect(dominates([1, 2], [2, 1])).toBe(false);
  expect(dominates([1, 2], [1, Number.NaN])).toBe(true);
  expect(dominates([Number.NaN, 2], [1, 3])).toBe(false);
});

test("fronts of points placed by hand", () => {
  // (1,4) (2,2) (4,1) are dominated by none; (3,3) by (2,2) alone; (5,5) by (3,3) too.
  const points = [
    [5, 5],
    [1, 4],
    [3, 3],
    [2, 2],
    [4, 1],
    [2, 2],
  ];
  expect(fronts(points)).toEqual([[1, 3, 4, 5], [2], [0]]);
});

test("crowding is the span between neighbours, in parts of the range", () => {
  const front = [
    [0, 10],
    [1, 6],
    [4, 5],
    [10, 0],
  ];
  // (1,6): (4-0)/10 + (10-5)/10; (4,5): (10-1)/10 + (6-0)/10
  expect(crowding(front)).toEqual([Number.POSITIVE_INFINITY, 0.4 + 0.5, 0.9 + 0.6, Number.POSITIVE_INFINITY]);
});

test("crowding of equal, infinite and single points is a number", () => {
  const far = Number.POSITIVE_INFINITY;
  expect(crowding([[1, 1]])).toEqual([far]);
  expect(crowding([[1], [1], [1]])).toEqual([far, 0, far]);
  expect(crowding([[1], [2], [far]])).toEqual([far, 0, far]);
});

test("survivors are whole fronts, then the least crowded", () => {
  const points = [
    [0, 10],
    [1, 6],
    [4, 5],
    [10, 0],
    [11, 11],
  ];
  expect(survivors(points, 3)).toEqual([0, 2, 3]);
  expect(survivors(points, 5)).toEqual([0, 1, 2, 3, 4]);
  expect(survivors(points, 9)).toEqual([0, 1, 2, 3, 4]);
});

test("hypervolume of two and three scores", () => {
  expect(hypervolume([[1, 1]], [3, 4])).toBe(6);
  // a staircase: 2x1 + 1x1
  expect(
    hypervolume(
      [
        [1, 2],
        [2, 1],
      ],
      [3, 3],
    ),
  ).toBe(3);
  // two boxes 2x2x1 and 1x1x2 that share 1x1x1
  expect(
    hypervolume(
      [
        [0, 0, 1],
        [1, 1, 0],
      ],
      [2, 2, 2],
    ),
  ).toBe(5);
  expect(hypervolume([[3, 1]], [3, 3])).toBe(0);
  expect(hypervolume([], [3, 3])).toBe(0);
});

test("hypervolume of three scores is what a count of random points says", () => {
  const random = new Random("hypervolume");
  const draw = () => [random.uniform(), random.uniform(), random.uniform()];
  const points = Array.from({ length: 12 }, draw);
  let hits = 0;
  for (let i = 0; i < 40_000; i++) {
    const x = draw();
    if (points.some((p) => p.every((v, axis) => v <= x[axis]!))) hits++;
  }
  expect(hypervolume(points, [1, 1, 1])).toBeCloseTo(hits / 40_000, 2);
});
