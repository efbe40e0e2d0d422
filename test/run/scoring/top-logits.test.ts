import { expect, test } from "bun:test";
import { topLogits } from "../../../src/run/scoring/top-logits.ts";
import { normals } from "../../support/random.ts";

const logits = normals(3, 20, 2);

test.each([1, 5, 19, 20, 30])("the %d largest and the rest are the whole row", (k) => {
  const { ids, rest, largest, logSum } = topLogits(logits, k);
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!);
  expect([...ids]).toEqual(order.slice(0, k).sort((a, b) => a - b));
  expect([...rest]).toEqual(
    order
      .slice(k)
      .map((id) => logits[id]!)
      .reverse(),
  );
  expect(largest).toBe(logits[order[0]!]!);
  expect(logSum).toBeCloseTo(Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0)), 12);
});

test("of equal ones the first are kept", () => {
  expect([...topLogits(Float32Array.of(1, 3, 3, 3, 0, 3), 3).ids]).toEqual([1, 2, 3]);
  expect([...topLogits(Float32Array.of(0, -0, 0), 2).ids]).toEqual([0, 1]);
});

test("the sum of a row that is not finite is NaN; that of large logits is finite", () => {
  expect(topLogits(Float32Array.of(1, Number.NaN, 2), 1).logSum).toBeNaN();
  expect(topLogits(Float32Array.of(1, Number.POSITIVE_INFINITY), 1).logSum).toBeNaN();
  expect(topLogits(Float32Array.of(3e4, 3e4, -3e4), 2).logSum).toBeCloseTo(3e4 + Math.LN2, 9);
});
