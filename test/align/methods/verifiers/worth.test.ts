import { expect, test } from "bun:test";
import { judged } from "../../answered.ts";

const ROW = { prompt: "A:", worth: { a: 1, b: -0.5, c: "much" } };

test("the mean worth of the letters", async () => {
  expect(await judged("worth", ROW, ["a", "ab", " aab\n", "b"])).toEqual([1, 0.25, 0.5, -0.5]);
});

test("other letters and silence are worth little, and rows without worths are not judged", async () => {
  expect(await judged("worth", ROW, ["", "z", "az", "c"])).toEqual([-5, -5, -2, -5]);
  expect(await judged("worth:-1", ROW, ["z", "toString"])).toEqual([-1, -1]);
  expect(await judged("worth", { prompt: "A:" }, ["a"])).toEqual([null]);
});
