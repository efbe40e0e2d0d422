/** Suggestions: edit distance, and which names are near enough. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { didYouMean, editDistance, nearest } from "../../src/method/nearest.ts";

test("edit distance counts a swap of neighbours once", () => {
  expect(editDistance("density", "densiyt")).toBe(1);
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("", "abc")).toBe(3);
});

test("edit distance is symmetric, zero only for equal texts, and never above the longer length", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      expect(editDistance(b, a)).toBe(distance);
      expect(distance === 0).toBe(a === b);
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("only near names are suggested", () => {
  const names = ["temperature", "density", "seed", "task_arithmetic"];
  expect(nearest("temprature", names)).toBe("temperature");
  expect(nearest("task-arithmetics", names)).toBe("task_arithmetic");
  expect(nearest("temp", names)).toBe("temperature");
  expect(nearest("size", names)).toBeUndefined();
  expect(didYouMean("densty", names, "--")).toBe("did you mean --density?");
  expect(didYouMean("x", names)).toBeUndefined();
});

test("names that are too long or too short to be near are passed over", () => {
  const many = Array.from({ length: 20_000 }, (_, i) => `model.layers.${i}.self_attn.q_proj.weight`);
  expect(nearest("model.layers.7.self_atn.q_proj.weight", many)).toBe("model.layers.7.self_attn.q_proj.weight");
  expect(nearest("bias", many)).toBeUndefined();
});
