import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { Archive } from "../../../src/merge/search/elites.ts";

const SPANS = [
  { low: 0, high: 1 },
  { low: 0, high: 1 },
  { low: 2, high: 4 },
];
const archive = (bins = 4) => new Archive<string>(0, SPANS, bins);

test("bins are those of the other scores; what lies outside counts to the ends", () => {
  expect(archive().binsOf([0.9, 0.3, 3.9])).toEqual([1, 3]);
  expect(archive().binsOf([0, -5, 9])).toEqual([0, 3]);
  expect(new Archive<string>(1, SPANS, 4).binsOf([0.5, 0.9, 2])).toEqual([2, 0]);
  expect(new Archive<string>(0, [SPANS[0]!, { low: 1, high: 1 }], 4).binsOf([1, 1])).toEqual([0]);
});

test("a cell keeps the higher quality, and of equal ones the first", () => {
  const own = archive();
  expect(own.insert({ value: "a", scores: [0.5, 0.1, 2] })).toBe(true);
  expect(own.insert({ value: "b", scores: [0.4, 0.2, 2.1] })).toBe(false);
  expect(own.insert({ value: "c", scores: [0.5, 0.2, 2.1] })).toBe(false);
  expect(own.insert({ value: "d", scores: [0.1, 0.9, 2.1] })).toBe(true);
  expect(own.insert({ value: "e", scores: [0.6, 0.2, 2.1] })).toBe(true);
  expect(own.elites.map(({ value }) => value)).toEqual(["e", "d"]);
  expect([own.filled, own.qualityAt([0, 0]), own.qualityAt([1, 0])]).toEqual([2, 0.6, undefined]);
  expect(own.best()!.value).toBe("e");
});

test("parents are two, and drawn in proportion to graded quality and places", () => {
  const own = archive(2);
  // grades: quality 0.5 and 1.3, first axis the same, second axis 1: weights 0.25 and 1.69
  own.insert({ value: "a", scores: [0, 0.1, 2] });
  own.insert({ value: "b", scores: [1, 0.9, 2] });
  const counts = { a: 0, b: 0 };
  for (let i = 0; i < 4000; i++) {
    const [first, second] = own.parents(new Random("draw", i));
    expect(first.value).not.toBe(second.value);
    counts[first.value as "a" | "b"]++;
  }
  expect(counts.b / counts.a).toBeGreaterThan(6); // 1.69 / 0.25 = 6.76
  expect(counts.b / counts.a).toBeLessThan(7.6);
});

test("one elite is both parents, and none is refused", () => {
  const own = archive();
  expect(() => own.parents(new Random(1))).toThrow("parents from an empty archive");
  own.insert({ value: "a", scores: [0, 0, 0] });
  expect(own.parents(new Random(1)).map(({ value }) => value)).toEqual(["a", "a"]);
});
