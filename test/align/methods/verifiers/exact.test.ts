import { expect, test } from "bun:test";
import { judged } from "../../answered.ts";

const ROW = { prompt: "12+3=", completion: " 51", answer: "15", other: 7 };

test("the row's answer and its completion are right, whatever space is around them", async () => {
  expect(await judged("exact", ROW, ["15", " 51\n", "15.", "1 5", "", "015"])).toEqual([1, 1, 0, 0, 0, 0]);
});

test("a key names what is right, and rows without it are not judged", async () => {
  expect(await judged("exact:completion", ROW, ["15", "51"])).toEqual([0, 1]);
  expect(await judged("exact:key=other", ROW, ["7", "15"])).toEqual([1, 0]);
  expect(await judged("exact:missing", ROW, ["15"])).toEqual([null]);
  expect(await judged("exact:constructor", ROW, ["15"])).toEqual([null]);
  expect(await judged("exact", { prompt: "say something" }, ["15"])).toEqual([null]);
});

test("what stands behind the last mark is compared, in the row's answer too", async () => {
  const row = { prompt: "q", answer: "half of 30 is 15\n#### 15" };
  expect(await judged("exact:after=####", row, ["I think #### 14 no #### 15", "15", "####", "#### 15 or so"])).toEqual([
    1, 0, 0, 0,
  ]);
});

test("of a conversation the last turn of the assistant is right", async () => {
  const row = { question: "2+2?", answer: "4" };
  expect(await judged("exact", row, ["4", "5"])).toEqual([1, 0]);
});
