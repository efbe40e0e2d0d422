/** The weights of groups that ADORA multiplies GRPO's advantages by. */
import { expect, test } from "bun:test";
import { method } from "../../../src/align/methods/policies/adora.ts";
import { groupRelative } from "../../../src/align/policies/advantages.ts";
import type { PolicyMethod } from "../../../src/align/policies/contract.ts";
import { randomUnits } from "../../support/random.ts";
import { type Judged, rewarded } from "./rewarded.ts";

const adora = method as unknown as PolicyMethod;
type Settings = Readonly<Record<string, unknown>>;
const advantagesOf = (settings: Settings, judged: Judged) =>
  adora.advantages!(rewarded(adora, settings, judged)) as number[];
const plain = (judged: Judged) => [...groupRelative(rewarded(adora, {}, judged))];

/** The one number that a group's advantages are GRPO's times. */
function weightOf(settings: Settings, judged: Judged): number {
  const grpo = plain(judged);
  const weights = advantagesOf(settings, judged).map((advantage, i) => advantage / grpo[i]!);
  for (const weight of weights) expect(weight).toBeCloseTo(weights[0]!, 12);
  return weights[0]!;
}

const AMPLIFY = { adora_mode: "amplify" };
const group = 4;
/** One right answer of the four, longer than the wrong ones; and one as long as their mean. */
const LONG = { rewards: [1, 0, 0, 0], lengths: [9, 4, 8, 10], group };
const SHORT = { ...LONG, lengths: [8, 4, 10, 10] };

test("groups whose longest right answer is longer than the mean of wrong ones weigh more", () => {
  expect(weightOf({}, LONG)).toBe(1);
  expect(weightOf({}, SHORT)).toBeCloseTo(0.1, 12);
  expect(weightOf(AMPLIFY, LONG)).toBe(2);
  expect(weightOf(AMPLIFY, SHORT)).toBe(1);
  expect(weightOf({ adora_weight: 0.3 }, SHORT)).toBeCloseTo(0.3, 12);
});

test("the longest right answer counts, and wrong ones by their mean", () => {
  expect(weightOf({}, { rewards: [1, 1, 0, 0], lengths: [1, 7, 2, 10], group })).toBe(1);
  expect(weightOf({}, { rewards: [1, 1, 0, 0], lengths: [1, 6, 2, 10], group })).toBeCloseTo(0.1, 12);
});

test("with difficulty a prompt of which more than tau is right does not teach", () => {
  const easy = { rewards: [1, 1, 1, 0], lengths: [9, 9, 9, 4], group };
  expect(weightOf(AMPLIFY, easy)).toBe(1);
  expect(weightOf({ ...AMPLIFY, adora_tau: 0.75 }, easy)).toBe(2);
  expect(weightOf({ ...AMPLIFY, adora_by: "length" }, easy)).toBe(2);
  expect(weightOf({ adora_by: "length-and-difficulty" }, easy)).toBeCloseTo(0.1, 12);
  expect(weightOf(AMPLIFY, { rewards: [1, 1, 0, 0], lengths: [9, 9, 4, 4], group })).toBe(2);
});

test("wrong answers that were cut are no wrong ones, and without any a group does not teach", () => {
  const cut = { ...LONG, lengths: [9, 4, 20, 20], truncated: [false, false, true, true] };
  expect(weightOf({}, { ...cut, truncated: [false, false, false, false] })).toBeCloseTo(0.1, 12);
  expect(weightOf({}, cut)).toBe(1);
  expect(weightOf({}, { ...cut, truncated: [false, true, true, true] })).toBeCloseTo(0.1, 12);
  expect(weightOf(AMPLIFY, { ...cut, truncated: [false, true, true, true] })).toBe(1);
  // Right ones that were cut still are right.
  expect(weightOf({}, { ...LONG, truncated: [true, false, false, false] })).toBe(1);
});

test("a group without a right answer keeps weight 1, and one of right answers alone has no advantage", () => {
  const none = { rewards: [0.1, 0, 0, 0.2], lengths: [9, 4, 8, 10], group };
  for (const settings of [{}, AMPLIFY]) expect(weightOf(settings, none)).toBe(1);
  expect(weightOf({ success: 0.2 }, none)).toBe(1);
  expect(weightOf({ success: 0.1 }, { ...none, lengths: [3, 4, 8, 3] })).toBeCloseTo(0.1, 12);
  expect(advantagesOf(AMPLIFY, { rewards: [1, 1, 1, 1], lengths: [1, 2, 3, 4], group })).toEqual([0, 0, 0, 0]);
});

test("with weight 1 it is GRPO, and no weight changes a sign", () => {
  const unit = randomUnits(3);
  const judged = {
    rewards: Array.from({ length: 40 }, () => Math.round(unit())),
    lengths: Array.from({ length: 40 }, () => 1 + Math.floor(9 * unit())),
    truncated: Array.from({ length: 40 }, () => unit() < 0.2),
    group,
  };
  const grpo = plain(judged);
  for (const mode of ["attenuate", "amplify"]) {
    expect(advantagesOf({ adora_mode: mode, adora_weight: 1 }, judged)).toEqual(grpo);
    const found = advantagesOf({ adora_mode: mode }, judged);
    expect(found).not.toEqual(grpo);
    expect(found.map(Math.sign)).toEqual(grpo.map(Math.sign));
  }
});
