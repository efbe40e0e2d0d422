import { expect, test } from "bun:test";
import { complaint, judged } from "../../answered.ts";

test("matches anywhere, over line ends", async () => {
  expect(await judged("regex:a.b", { prompt: "q" }, ["xa\nby", "ab"])).toEqual([1, 0]);
});

test("a group named answer has to be the row's answer", async () => {
  const spec = "regex:#### (?<answer>-?\\d+)";
  expect(await judged(spec, { prompt: "q", answer: 42 }, ["#### 42", "#### 41", "42"])).toEqual([1, 0, 0]);
  expect(await judged(spec, { prompt: "q" }, ["#### 42"])).toEqual([null]);
  expect(await judged("regex:x|(?<answer>y)", { prompt: "q", answer: "y" }, ["x", "y"])).toEqual([0, 1]);
});

test("an expression that is none is refused before any work", async () => {
  expect(await complaint(judged("regex:(", { prompt: "q" }, []))).toMatch(
    /--reward.*: regex: Invalid regular expression.*missing \)/,
  );
  expect(await complaint(judged("regex:", { prompt: "q" }, []))).toContain("regex needs REGEX: matches somewhere");
});
