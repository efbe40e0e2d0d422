import { expect, test } from "bun:test";
import { likeGold, method as score } from "../../../../src/evaluate/methods/metrics/unlearning-score.ts";
import { CONTEXT, lettersRow, metricDetails, metricValue } from "../../../support/scored-rows.ts";

test("privacy is 1 like gold, and falls on both sides", () => {
  expect(likeGold(0.5, 0.5)).toBe(1);
  expect(likeGold(0, 0)).toBe(1);
  expect(likeGold(0.75, 0.5)).toBeCloseTo(0.5, 12);
  expect(likeGold(0.25, 0.5)).toBeCloseTo(0.5, 12);
  expect(likeGold(1, 0.4)).toBe(0);
  expect(likeGold(0.5, 0)).toBe(0);
});

test("the score is the harmonic mean of its parts, which are harmonic means", () => {
  const [truth, losses] = [{ right: [Math.log(4)], wrong: [Math.log(4)] }, [Math.log(2)]];
  const forget = { ...lettersRow("abcd", "xbcd"), group: 0, truth, paraphrases: losses, packedBytes: 9 };
  const moments = Float32Array.of(-1, 1, -1, 1, -1, 1, -1, 1);
  const row = (group: number) => ({ ...forget, group, moments });
  const groups = ["forget", "holdout", "retain"];
  const retain = {
    ...row(2),
    nll: new Float32Array(4),
    truth: { right: [0], wrong: [Number.POSITIVE_INFINITY] },
    generated: { found: "a", expected: "a b" },
  };
  const rows = [row(0), row(1), retain];
  const context = { ...CONTEXT, groups, gold: rows };
  const parts = metricDetails(score, rows, context);
  // 1 - ES and 1 - EM are 1/4, the others 1/2: 4 / (4 + 4 + 2 + 2)
  expect(parts.memorisation).toBeCloseTo(1 / 3, 6);
  expect(parts.privacy).toBe(1);
  expect(parts.utility).toBeCloseTo(3 / (1 + 1 + 2), 6); // probability 1, truth 1, recall 1/2
  expect(metricValue(score, rows, context)).toBeCloseTo(3 / (3 + 1 + 4 / 3), 6);
});
