import { expect, test } from "bun:test";
import {
  normalisedProbability,
  paraphrasedProbability,
  probability,
  rightShare,
} from "../../../src/evaluate/measures/probability.ts";
import { scoredRow } from "../../support/scored-rows.ts";

test("probability is the geometric mean over tokens, then the mean over rows that have one", () => {
  const halves = scoredRow({ nll: [Math.log(4), 0] });
  expect(probability([halves])).toBeCloseTo(0.5, 6);
  expect(probability([halves, scoredRow({ nll: [0] }), scoredRow({ nll: [] })])).toBeCloseTo(0.75, 6);
  expect(probability([scoredRow({ nll: [] })])).toBeNaN();
});

test("normalised probability divides by all options; paraphrases average their probabilities, or their losses", () => {
  expect(rightShare({ right: [-Math.log(0.3)], wrong: [0.2, 0.1].map((p) => -Math.log(p)) })).toBeCloseTo(0.5, 8);
  const rows = [
    scoredRow({ options: { right: [0], wrong: [0] }, paraphrases: [Math.log(2), Math.log(8)] }),
    scoredRow(),
  ];
  expect(normalisedProbability(rows)).toBeCloseTo(0.5, 8);
  expect(paraphrasedProbability(rows)).toBeCloseTo((1 / 2 + 1 / 8) / 2, 8);
  expect(paraphrasedProbability(rows, "losses")).toBeCloseTo(0.25, 8);
});
