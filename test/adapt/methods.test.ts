/** Kinds of combination: laws that all keep, and each against plain arithmetic. PEFT's numbers are in test/golden. */
import { describe, expect, test } from "bun:test";
import type { CombineMethod, Part } from "../../src/adapt/contract.ts";
import { sharedBasis } from "../../src/adapt/methods/combinations/knots.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod, loadMethods } from "../../src/method/registry.ts";
import { hostProduct } from "../../src/tensor/linear-algebra/leading-svd.ts";
import { changeOf, combined, drawnPart, part } from "./parts.ts";

const methods = await loadMethods("adapt");
const close = (found: readonly number[], expected: readonly number[], digits = 9) => {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of found.entries()) expect(value).toBeCloseTo(expected[i]!, digits);
};
const all = (method: CombineMethod): Readonly<Record<string, unknown>> =>
  bindDefaults(method, { density: 1, ...(method.name === "breadcrumbs" && { gamma: 0 }) }).values;
const sumOf = (parts: readonly Part[]) =>
  parts
    .map((one) => changeOf(one).map((value) => one.weight * value))
    .reduce((sum, change) => sum.map((value, i) => value + change[i]!));

describe.each(methods.map((method) => [method.name, method] as const))("%s", (_, method) => {
  test("one adapter of weight 1, of which all is kept, is itself, scale included", async () => {
    const one = drawnPart(1, [7, 2, 5], { scale: 0.5 });
    close(await combined(method, [one], { values: all(method) }), changeOf(one));
  });

  test("two equal adapters of half a weight are one; half where signs are elected, two where A and B are summed apart", async () => {
    const half = drawnPart(2, [6, 2, 4], { scale: 2, weight: 0.5 });
    const found = await combined(method, [half, half], { values: all(method) });
    const factor = /ties|knots/.test(method.name) ? 0.5 : method.ranks === "equal" ? 2 : 1;
    close(
      found,
      changeOf(half).map((value) => factor * value),
    );
  });

  test("the same numbers each time, and finite ones where nothing is kept", async () => {
    const parts = [drawnPart(3, [5, 2, 4]), drawnPart(4, [5, 2, 4])];
    const { values } = bindDefaults(method);
    expect(await combined(method, parts, { values })).toEqual(await combined(method, parts, { values }));
    const none = bindDefaults(method, { density: 0 }).values;
    expect((await combined(method, parts, { values: none })).every(Number.isFinite)).toBe(true);
  });
});

test.each(["cat", "svd", "dare-linear-svd", "magnitude-prune-svd"])("%s adds changes of any rank up", async (name) => {
  const method = await loadMethod("adapt", name);
  const parts = [
    drawnPart(5, [9, 1, 8], { scale: 2, weight: 0.3 }),
    drawnPart(6, [9, 3, 8], { scale: 0.5, weight: -1 }),
  ];
  close(await combined(method, parts, { values: all(method), rank: 4 }), sumOf(parts));
});

test("svd keeps the largest singular values alone", async () => {
  const method = await loadMethod("adapt", "svd");
  const parts = [part([[3, 0]], [[1], [0]]), part([[0, 2]], [[0], [1]])];
  close(await combined(method, parts, { values: all(method), rank: 1 }), [3, 0, 0, 0]);
});

test("ties trims, elects by the sum and averages the weighted values that agree", async () => {
  const method = await loadMethod("adapt", "ties-svd");
  const parts = [part([[4, -1, 3]], [[1]]), part([[-5, 2, 1]], [[1]], { weight: 3 })];
  const values = { density: 0.7, majority_sign_method: "total", svd_rank: 1 };
  // Two of three are kept: [4, 0, 3] and [-5, 2, 0].
  close(await combined(method, parts, { values }), [-15, 6, 3]);
  // By count, a sign of 1 and one of -1 elect 1.
  close(await combined(method, parts, { values: { ...values, majority_sign_method: "frequency" } }), [4, 6, 3]);
});

test("breadcrumbs drops the largest and the smallest", async () => {
  const method = await loadMethod("adapt", "breadcrumbs");
  const parts = [part([[10, -4, 3, 1]], [[1]])];
  close(await combined(method, parts, { values: { density: 0.5, gamma: 0.25, svd_rank: 1 } }), [0, -4, 3, 0]);
});

test("dare keeps the expected change; PEFT forgets to rescale", async () => {
  const method = await loadMethod("adapt", "dare-linear-svd");
  const ones = part([Array.from({ length: 4000 }, () => 1)], [[1]]);
  const mean = async (compat: boolean) => {
    const found = await combined(method, [ones], { values: { density: 0.25, svd_rank: 1 }, compat });
    return found.reduce((sum, value) => sum + value, 0) / found.length;
  };
  expect(await mean(false)).toBeCloseTo(1, 1);
  expect(await mean(true)).toBeCloseTo(0.25, 1);
});

describe("knots", () => {
  const parts = [drawnPart(7, [9, 2, 6], { scale: 0.5 }), drawnPart(8, [9, 3, 6], { scale: 2 })];

  test("the shared basis gives every change back, and its columns are orthogonal", () => {
    const { shared, own } = sharedBasis(parts);
    for (const [k, mine] of own.entries()) close([...hostProduct(shared, mine).values], changeOf(parts[k]!), 8);
    const { rows, columns, values } = shared;
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < i; j++) {
        let dot = 0;
        for (let r = 0; r < rows; r++) dot += values[r * columns + i]! * values[r * columns + j]!;
        expect(dot).toBeCloseTo(0, 8);
      }
  });

  test("a sum in the shared basis is the sum of the changes", async () => {
    const method = await loadMethod("adapt", "knots");
    const values = { ...all(method), inner: "linear" };
    close(await combined(method, parts, { values, rank: 5 }), sumOf(parts), 8);
  });
});
