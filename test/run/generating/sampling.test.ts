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

const entropy = -[0.4, 0.3, 0.2, 0.1].reduce((sum, p) => sum + p * Math.log(p), 0); // 1.28
const idsOf = (options: Partial<typeof plain & Record<"typical" | "epsilon" | "eta" | "topNSigma", number>>) =>
  candidates(values, { ...plain, ...options }).map(({ id }) => id);

test("typical keeps the tokens whose surprise is nearest to the entropy", () => {
  // |surprise - entropy| is 0.36, 0.08, 0.33 and 1.02.
  expect(idsOf({ typical: 0.29 })).toEqual([1]);
  expect(idsOf({ typical: 0.31 })).toEqual([1, 2]);
  expect(idsOf({ typical: 0.51 })).toEqual([0, 1, 2]);
  expect(candidates(values, { ...plain, typical: 0.31 })).toEqual(
    near([
      [1, 0.6],
      [2, 0.4],
    ]),
  );
});

test("epsilon and eta keep tokens above a probability, and always the likeliest", () => {
  expect(idsOf({ epsilon: 0.15 })).toEqual([0, 1, 2]);
  expect(idsOf({ epsilon: 0.9 })).toEqual([0]);
  const eta = 0.6;
  const least = Math.min(eta, Math.sqrt(eta) * Math.exp(-entropy)); // 0.215
  expect(least).toBeCloseTo(0.2155, 3);
  expect(idsOf({ eta })).toEqual([0, 1]);
  expect(idsOf({ eta: 0.01 })).toEqual([0, 1, 2, 3]);
});

test("top-n-sigma keeps logits near the largest, at every temperature", () => {
  const logits = Float64Array.of(0, 1, 2, 5, Number.NEGATIVE_INFINITY); // deviation sqrt(3.5) = 1.87 of the finite ones
  const ids = (topNSigma: number, temperature: number) =>
    candidates(logits, { ...plain, topNSigma, temperature }).map(({ id }) => id);
  for (const temperature of [0.5, 3]) {
    expect(ids(1, temperature)).toEqual([3]);
    expect(ids(2, temperature)).toEqual([3, 2]);
    expect(ids(9, temperature)).toEqual([3, 2, 1, 0]);
  }
});

test("temperature sharpens", () => {
  expect(candidates(values, { ...plain, temperature: 0.5 })[0]!.p).toBeCloseTo(0.16 / 0.3, 12);
});

test("repetition makes tokens that were seen less likely on both sides of zero", () => {
  expect([...penalized(Float32Array.of(2, -2, 1), [0, 1, 1], 2)]).toEqual([1, -4, 1]);
});
