import { expect, test } from "bun:test";
import { complaint, judged } from "../../answered.ts";

const ROW = { prompt: "q" };

test("tags come in their order, each once, with nothing around them", async () => {
  const answers = [
    "<think>\nso\n</think>\n<answer>4</answer>",
    "  <think></think><answer></answer>  ",
    "<answer>4</answer><think>so</think>",
    "<think>so</think> then <answer>4</answer>",
    "<think>a</think><think>b</think><answer>4</answer>",
    "<think><answer>3</answer></think><answer>4</answer>",
    "<think>so</think><answer>4",
    "<think>so</think><answer>4</answer>!",
    "",
  ];
  const expected = [1, 1, 0, 0, 0, 0, 0, 0, 0];
  expect(await judged("format", ROW, answers)).toEqual(expected);
  expect(await judged("format:think,answer", ROW, answers)).toEqual(expected);
  expect(await judged("format:think", ROW, ["<think>x</think>"])).toEqual([1]);
});

test("an expression matches from end to end, with each of its alternatives", async () => {
  expect(await judged("format:<a>.*</a>", ROW, ["<a>1\n2</a>", " <a></a> ", "x<a></a>", "<a></a>x"])).toEqual([
    1, 1, 0, 0,
  ]);
  expect(await judged("format:\\d|none", ROW, ["4", "none", "none4"])).toEqual([1, 1, 0]);
});

test("an expression that is none is refused, even one that brackets would mend", async () => {
  expect(await complaint(judged("format:\\d)|(x", ROW, []))).toContain("format: Invalid regular expression");
});
