import { expect, test } from "bun:test";
import { method as task } from "../../../../src/data/tasks/knights.ts";
import type { Json } from "../../../../src/json.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { judged } from "../../answered.ts";

const ROW = {
  prompt: "Who?",
  completion: " Ada is a knight, Ben is a knave",
  names: ["Ada", "Ben"],
  solution: [true, false],
};

test("everyone needs the right role, in any order and words around it", async () => {
  const answers = [
    "Ada is a knight, Ben is a knave",
    "BEN IS A KNAVE and ada is a knight.",
    "Ada is not a knave; Ben is not a knight",
    "Ada is a knight",
    "Ada is a knight, Ben is a knight",
    "Ben is a knight, Ada is a knave",
    "Adam is a knight, Ben is a knave",
  ];
  expect(await judged("knights", ROW, answers)).toEqual([1, 1, 1, 0, 0, 0, 0]);
  expect(await judged("knights:partial", ROW, answers)).toEqual([1, 1, 1, 0.5, 0.5, 0, 0.5]);
});

test("what is said last counts, or what stands behind a mark", async () => {
  const thought = "Suppose Ada is a knave. Then no. Ada is a knight, Ben is a knave";
  const turned = `${thought}. Or Ben is a knight`;
  expect(await judged("knights", ROW, [thought, turned])).toEqual([1, 0]);
  expect(await judged("knights:after=So:", ROW, [`${turned} So: ${thought}`, thought])).toEqual([1, 0]);
});

test("the answer of the row serves where it has no list, and nothing is judged without", async () => {
  expect(
    await judged("knights", { prompt: "q", answer: "Eve is a knave" }, ["Eve is a knave", "Eve is a knight"]),
  ).toEqual([1, 0]);
  expect(await judged("knights", { prompt: "q", answer: "yes" }, ["Eve is a knave"])).toEqual([null]);
  expect(await judged("knights", { prompt: "q", names: ["Eve"], solution: [] }, ["Eve is a knave"])).toEqual([null]);
});

test("the rows of data knights are right by their own completions, and wrong by those of others", async () => {
  const source = task.open({ seed: 1, split: "train" }, bindDefaults(task).values);
  for (let i = 0; i < 20; i++) {
    const { solution, names, completion, ...row } = source.row(i) as {
      solution: boolean[];
      names: string[];
      completion: string;
    };
    const wrong = names
      .map((name, k) => `${name} is a ${solution[k] !== (k === i % 3) ? "knight" : "knave"}`)
      .join(", ");
    expect(await judged("knights", { ...row, solution, names, completion } as Json, [completion, wrong])).toEqual([
      1, 0,
    ]);
  }
});
