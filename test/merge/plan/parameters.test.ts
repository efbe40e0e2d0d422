import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { atDepth, depthOf, evaluate, lookUp } from "../../../src/merge/plan/parameters.ts";

describe("a gradient", () => {
  test("is linear between its anchors", () => {
    expect(atDepth([0, 1], 0.25)).toBe(0.25);
    expect(atDepth([0, 0.5, 0], 0.5)).toBe(0.5);
    expect(atDepth([0, 0.5, 0], 0.75)).toBe(0.25);
    expect(atDepth([3], 0.7)).toBe(3);
  });

  test("has its first anchor at depth 0 and its last at depth 1, and stays between neighbours", () => {
    const anchors = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1, maxLength: 7 });
    fc.assert(
      fc.property(anchors, fc.double({ min: 0, max: 1, noNaN: true }), (list, t) => {
        expect(atDepth(list, 0) === list[0]).toBe(true); // so that -0 is 0
        expect(atDepth(list, 1) === list.at(-1)).toBe(true);
        const value = atDepth(list, t) as number;
        expect(value).toBeGreaterThanOrEqual(Math.min(...list) - 1e-12);
        expect(value).toBeLessThanOrEqual(Math.max(...list) + 1e-12);
      }),
    );
  });

  test("of anything but numbers is a step function", () => {
    expect([0, 0.49, 0.5, 0.99, 1].map((t) => atDepth(["sum", "count", "none"], t))).toEqual([
      "sum",
      "sum",
      "count",
      "count",
      "none",
    ]);
    expect(atDepth([true, false], 0.9)).toBe(true);
  });

  test("is at its end in a slice of one layer", () => {
    expect(depthOf(0, 1)).toBe(1);
    expect([0, 1, 2].map((i) => depthOf(i, 3))).toEqual([0, 0.5, 1]);
    expect(evaluate([0.2, 0.8], "model.layers.0.norm.weight", depthOf(0, 1))).toBe(0.8);
  });

  test("has its first anchor outside the layers", () => {
    expect(evaluate([0.2, 0.8], "lm_head.weight", undefined)).toBe(0.2);
  });
});

describe("a filter", () => {
  const setting = [
    { filter: "mlp", value: [0, 1] },
    { filter: "up_proj", value: 7 },
    { filter: "*", value: 0.5 },
  ];

  test("is a part of the name, and the first that matches counts", () => {
    expect(evaluate(setting, "model.layers.1.mlp.up_proj.weight", 1)).toBe(1);
    expect(evaluate(setting, "adapter.up_proj.weight", 1)).toBe(7);
    expect(evaluate(setting, "model.norm.weight", undefined)).toBe(0.5);
  });

  test("that misses leaves the value to the next scope", () => {
    const own = new Map([["weight", [{ filter: "attn", value: 1 }]]]);
    const outer = new Map([["weight", 0.3]]);
    expect(lookUp([own, undefined, outer], "weight", "model.layers.0.mlp.w", 0)).toBe(0.3);
    expect(lookUp([own, undefined, outer], "weight", "model.layers.0.attn.w", 0)).toBe(1);
    expect(lookUp([own], "weight", "model.layers.0.mlp.w", 0)).toBeUndefined();
  });
});

test("a list can be the value itself", () => {
  const scope = new Map([["ranks", [1, 2, 3]]]);
  expect(lookUp([scope], "ranks", "x", 1)).toBe(3);
  expect(lookUp([scope], "ranks", "x", 1, true)).toEqual([1, 2, 3]);
});
