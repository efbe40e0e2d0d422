/** What a search makes better. */
import { expect, test } from "bun:test";
import { parseObjectives, scoresOf, sumOf } from "../../../src/merge/search/objective.ts";

const GROUPS = ["math", "code"];

test("weights, groups and directions of metrics make one sum, and scores each by itself", async () => {
  const objectives = await parseObjectives(["accuracy@math=2", "loss@code", "loss=-1"], [], GROUPS);
  expect(objectives.map(({ name, weight }) => [name, weight])).toEqual([
    ["accuracy@math", 2],
    ["loss@code", 1],
    ["loss", -1],
  ]);
  expect(sumOf(objectives, [0.5, 3, 2])).toBe(2 * 0.5 - 3 + 2);
  expect(scoresOf(objectives, [0.5, 3, 2])).toEqual([0.5, -3, 2]);
});

test("a value that is nearer to a number is better", async () => {
  const objectives = await parseObjectives(["privleak"], [], GROUPS);
  expect(sumOf(objectives, [-0.25])).toBe(-0.25);
});

test("what is not known is worse than anything", async () => {
  const objectives = await parseObjectives(["loss@math", "loss@code=-1"], [], GROUPS);
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(sumOf(objectives, [1, odd])).toBe(Number.NEGATIVE_INFINITY);
    expect(scoresOf(objectives, [1, odd])).toEqual([-1, Number.NEGATIVE_INFINITY]);
  }
});

test.each([
  ["losss", "--objective: unknown metric losss", "did you mean loss?"],
  ["loss@maths", "--objective loss@maths: the data has no group maths", "did you mean math?"],
  ["loss=0", "--objective loss=0: the weight 0 is no number other than 0", undefined],
  ["truth-ratio", "no value of truth-ratio is better than another", undefined],
  ["forget-quality", "forget-quality compares with a gold model, which a search does not load", undefined],
  ["privleak@math", "privleak compares groups, so it has no value on math alone", "write privleak"],
])("refused: %s", async (text, message, hint) => {
  const error = await parseObjectives([text], [], GROUPS).then(
    () => undefined,
    (caught) => caught,
  );
  expect(error?.message).toBe(message);
  if (hint !== undefined) expect(error.hint).toBe(hint);
});
