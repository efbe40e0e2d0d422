import { expect, test } from "bun:test";
import { evaluated, expressionIn } from "../../../../src/align/verifying/expression.ts";
import type { Task } from "../../../../src/data/task.ts";
import { method as addition } from "../../../../src/data/tasks/addition.ts";
import { method as modular } from "../../../../src/data/tasks/modular.ts";
import type { Json } from "../../../../src/json.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { judged } from "../../answered.ts";

test("the last number is the value of the expression", async () => {
  expect(await judged("arithmetic", { prompt: "12+345=" }, ["357", "12+345=357", "356", ""])).toEqual([1, 1, 0, 0]);
  expect(await judged("arithmetic", { prompt: "What is 3 * (4 - 1)?" }, ["9", "11"])).toEqual([1, 0]);
  expect(await judged("arithmetic:reversed", { prompt: "12+345=" }, ["753", "357"])).toEqual([1, 0]);
  expect(await judged("arithmetic:0.01", { prompt: "1/3 =" }, ["0.333", "0.3"])).toEqual([1, 0]);
});

test.each([
  ["2+3*4", 14n],
  ["2^3^2", 512n],
  ["-2^2", -4n],
  ["(1+2)*-3", -9n],
  ["7\u00d78\u22126\u00f72", 53n],
  ["0.1+0.2-0.3", 0n],
  ["17-20 mod 5", 2n],
  ["2**10", 1024n],
])("%s", (text, value) => {
  expect(evaluated(text)).toEqual({ top: value, bottom: 1n });
});

test.each([
  "1/0",
  "5/2 mod 4",
  "3 mod 0",
  "9^9^9^9",
  "2^0.5",
  "(1+2",
  "1 2 + 3",
  "+",
  `${"(".repeat(9999)}1`,
  `${"9^".repeat(999)}9`,
])("%.20s has no value", (text) => expect(evaluated(text)).toBeUndefined());

test("nothing is judged where another number stands beside the expression, or none asks", async () => {
  for (const prompt of ["1+1=2, 3+4=", "Question 3: 4+5=", "say 7", "hello", "", "Input: A = 1 2 + 3 4 , A 0 = ?"])
    expect(await judged("arithmetic", { prompt }, ["2"])).toEqual([null]);
  expect(expressionIn("3-4")).toBe("3-4");
});

test("the rows of data addition and data modular are right by their own completions", async () => {
  const check = async (task: Task, given: object, spec = "arithmetic") => {
    const source = task.open({ seed: 1, split: "train" }, bindDefaults(task, { ...given }).values);
    for (let i = 0; i < 10; i++) {
      const row = source.row(i) as { completion: string };
      expect(await judged(spec, row as unknown as Json, [row.completion, `${row.completion}1`])).toEqual([1, 0]);
    }
  };
  await check(addition as unknown as Task, {});
  await check(addition as unknown as Task, { digits: 15 });
  await check(addition as unknown as Task, { reversed: true }, "arithmetic:reversed");
  for (const operation of ["add", "subtract", "multiply", "divide", "square-sum"])
    await check(modular as unknown as Task, { modulus: 13, operation });
});
