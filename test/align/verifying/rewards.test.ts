/** Terms as verifiers, and what they give together. */
import { expect, test } from "bun:test";
import { parseRewards, rewardTerms, scoreAll } from "../../../src/align/verifying/rewards.ts";
import { answered, complaint } from "../answered.ts";

const SIGNAL = new AbortController().signal;

test("terms of several options add up by their weights", async () => {
  const terms = await parseRewards(["exact + 0.25*format:\\d", "-0.1*length:10", "exact:missing"]);
  expect(terms.map(({ name, weight }) => [name, weight])).toEqual([
    ["exact", 1],
    ["format", 0.25],
    ["length", -0.1],
    ["exact-2", 1],
  ]);
  const row = { prompt: "2+2=", answer: "4" };
  const { parts, rewards } = await scoreAll(terms, [answered(row, "4"), answered(row, "five")], SIGNAL);
  expect(parts).toEqual([
    [1, 1, 0.9, null],
    [0, 0, 0.6, null],
  ]);
  expect(rewards[0]).toBeCloseTo(1 + 0.25 - 0.09, 12);
  expect(rewards[1]).toBeCloseTo(-0.06, 12);
});

test("a row that no term judges is refused by its place", async () => {
  const terms = await parseRewards(["exact", "number"]);
  const open = answered({ prompt: "say" }, "x", { place: "rows.jsonl:7" });
  expect(await complaint(scoreAll(terms, [open], SIGNAL))).toBe(
    "rows.jsonl:7: no verifier judges this row (exact, number) | most need the right answer in the row, under answer or completion; arithmetic reads it from the prompt",
  );
});

test("arguments are read by the options of the verifier", async () => {
  const wrong = async (spec: string) => complaint(parseRewards([spec]));
  expect(await wrong("number:0.1,last,a,b,c")).toContain(
    "number: c is one value too many | it is written number[:TOLERANCE,WHICH,KEY,MARK]",
  );
  expect(await wrong("number:tolerence=1")).toContain("number has no option tolerence | did you mean tolerance?");
  expect(await wrong("number:2")).toContain("number: tolerance: expected less than 1 but found 2");
  expect(await wrong("number:which=lost")).toContain("did you mean last?");
  expect(await wrong("number:0.1,tolerance=0.2")).toContain("number: tolerance is given twice");
  expect(await wrong("length:many")).toContain("length: max: expected a number but found many");
  expect(await wrong("knights:partial=maybe")).toContain("partial: expected boolean but found maybe");
});

test("--verify is a command of weight 1, and something has to judge", async () => {
  const limits = { verify_time: 1, verify_batch: 1, verify_keep: false };
  const terms = await rewardTerms({ reward: ["exact"], verify: ["cat"], ...limits });
  expect(terms.map(({ name, weight }) => [name, weight])).toEqual([
    ["exact", 1],
    ["command", 1],
  ]);
  expect(await complaint(rewardTerms({ reward: undefined, verify: undefined, ...limits }))).toStartWith(
    "nothing judges the answers",
  );
});
