import { expect, test } from "bun:test";
import { judged } from "../../answered.ts";

const ROW = { prompt: "q" };

test("JSON alone counts, and its keys", async () => {
  const answers = ['{"a": 1, "b": null}', '  {"a": 1}\n', "[1]", "3", '"a"'];
  expect(await judged("json", ROW, answers)).toEqual([1, 1, 1, 1, 1]);
  expect(await judged("json:a,b", ROW, answers)).toEqual([1, 0, 0, 0, 0]);
});

test("hostile texts are no JSON", async () => {
  const answers = [
    "",
    "{",
    "NaN",
    "{'a': 1}",
    '{"a": 1} x',
    '```json\n{"a": 1}\n```',
    '{"a": 1, "a": 2}',
    "[".repeat(100_000),
    "\0",
  ];
  expect(await judged("json", ROW, answers)).toEqual(answers.map(() => 0));
  expect(await judged("json:toString,__proto__", ROW, ["{}"])).toEqual([0]);
});
