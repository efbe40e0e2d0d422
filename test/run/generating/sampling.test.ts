import { expect, test } from "bun:test";
import { candidates, GREEDY, penalized } from "../../../src/run/generating/sampling.ts";

const values = Float64Array.from([0.4, 0.3, 0.2, 0.1], Math.log);
const plain = { ...GREEDY, temperature: 1 };
const near = (list: [number, number][]) => list.map(([id, p]) => ({ id, p: expect.closeTo(p, 12) }));

test("top-k, top-p and min-p keep the likeliest and share out the rest", () => {
  expect(candidates(values, plain)).toEqual(
    near([
      [0, 0.4],
      [1, 0.3],
      [2, 0.2],
      [3, 0.1],
    ]),
  );
  expect(candidates(values, { ...plain, topK: 2 })).toEqual(
    near([
      [0, 4 / 7],
      [1, 3 / 7],
    ]),
  );
  expect(candidates(values, { ...plain, topP: 0.65 })).toEqual(
    near([
      [0, 4 / 7],
      [1, 3 / 7],
    ]),
  );
  expect(candidates(values, { ...plain, minP: 0.4 })).toEqual(
    near([
      [0, 4 / 9],
      [1, 3 / 9],
      [2, 2 / 9],
    ]),
  );
});

test("temperature sharpens", () => {
  expect(candidates(values, { ...plain, temperature: 0.5 })[0]!.p).toBeCloseTo(0.16 / 0.3, 12);
});

test("repetition makes tokens that were seen less likely on both sides of zero", () => {
  expect([...penalized(Float32Array.of(2, -2, 1), [0, 1, 1], 2)]).toEqual([1, -4, 1]);
});
