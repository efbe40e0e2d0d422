/** Mixtures that are fixed or follow training losses: static, doremi, ado. */
import { expect, test } from "bun:test";
import { method as ado } from "../../src/curriculum/methods/samplers/ado.ts";
import { method as doremi } from "../../src/curriculum/methods/samplers/doremi.ts";
import { method as fixed } from "../../src/curriculum/methods/samplers/static.ts";
import { method as stratified } from "../../src/curriculum/methods/samplers/stratified.ts";
import { fitPowerLaw, powerLawAt, powerLawSlope } from "../../src/curriculum/power-law-fit.ts";
import { groupsOf, make } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));
const THIRDS = close([1 / 3, 1 / 3, 1 / 3]);

test("static: by size, flattened by the temperature, or as given", () => {
  const probs = (values: Record<string, unknown>, groups = groupsOf({ a: 10, b: 40 })) =>
    make(fixed, { groups, values }).segment().probs;
  expect(probs({})).toEqual(close([0.2, 0.8]));
  expect(probs({ temperature: 2 })).toEqual(close([1 / 3, 2 / 3]));
  expect(probs({ temperature: 1e9 })).toEqual(close([0.5, 0.5], 6));
  expect(probs({ mixture: [3, 1] })).toEqual(close([0.75, 0.25]));
  // Rows of b are three times as long: for half of the tokens it needs a quarter of the rows.
  const groups = [
    { name: "a", rows: 10, tokens: 100 },
    { name: "b", rows: 40, tokens: 1200 },
  ];
  expect(probs({ mixture: [1, 1], by: "tokens" }, groups)).toEqual(close([0.75, 0.25]));
  expect(probs({ by: "tokens" }, groups)).toEqual(close([0.2, 0.8]));
  expect(make(stratified).segment()).toEqual({ probs: THIRDS as never, steps: Number.POSITIVE_INFINITY });
});

test("static: refuses mixtures that are none", () => {
  const refused = (mixture: number[]) => () => make(fixed, { values: { mixture } });
  expect(() => make(fixed, { values: { mixture: [1, 2, 3], temperature: 2 } })).toThrow("--temperature 2 is for sizes");
  expect(refused([1, 2])).toThrow("--mixture has 2 values but there are 3 groups");
  expect(refused([1, -2, 3])).toThrow("--mixture: -2 is below 0");
  expect(refused([0, 0, 0])).toThrow("--mixture: all shares are 0");
  expect(refused([1, Number.NaN, 0])).toThrow("--mixture: NaN is not a finite number");
});

test("doremi: the group with the largest excess gains, one at its reference does not", () => {
  const sampler = make(doremi, { values: { reference_losses: [1, 1, 1], every: 10, epsilon: 0, eta: 0.5 } });
  sampler.update({ step: 10, training: [1.4, 0.2, 2], drawn: [1, 1, 1] });
  const [a, b, c] = sampler.segment().probs;
  expect(a! / b!).toBeCloseTo((10 / 20) * Math.exp(0.5 * 0.4), 9);
  expect(c! / b!).toBeCloseTo((30 / 20) * Math.exp(0.5 * 1), 9); // b is better than its reference: 0, not below
  // A group that was not drawn keeps its excess.
  sampler.update({ step: 20, training: [Number.NaN, 1, 1], drawn: [0, 1, 1] });
  expect(sampler.notes!().excess).toEqual(close([0.4, 0, 0]));
});

test("doremi: as weights it keeps drawing by size; the average of alpha is its result; no group dies", () => {
  const values = { reference_losses: [1, 1, 1], every: 10, apply: "weights", eta: 5, epsilon: 0.03 };
  const sampler = make(doremi, { values });
  for (let step = 10; step <= 200; step += 10) sampler.update({ step, training: [3, 1, 1], drawn: [1, 1, 1] });
  const { probs, weights } = sampler.segment();
  expect(probs).toEqual(close([1 / 6, 1 / 3, 1 / 2]));
  const alpha = weights!.map((weight, i) => weight * probs[i]!);
  expect(alpha.reduce((x, y) => x + y, 0)).toBeCloseTo(1, 9);
  expect(Math.min(...alpha)).toBeGreaterThanOrEqual(0.01 - 1e-12);
  const average = sampler.notes!().average as number[];
  expect(average[0]).toBeLessThan(alpha[0]!);
  expect(average.reduce((x, y) => x + y, 0)).toBeCloseTo(1, 9);
  expect(sampler.notes!().warning).toContain("0.95");
  expect(() => make(doremi, { values: { reference_losses: [1] } })).toThrow("--reference-losses has 1 values");
});

test("a power law is found again", () => {
  for (const law of [
    { floor: 1.7, scale: 5, exponent: 0.4 },
    { floor: 0, scale: 2, exponent: 0.1 },
    { floor: 0.5, scale: 30, exponent: 1.5 },
  ]) {
    const points = Array.from({ length: 40 }, (_, i) => [10 * (i + 1), powerLawAt(law, 10 * (i + 1))] as const);
    const found = fitPowerLaw(points);
    expect(found.exponent).toBeCloseTo(law.exponent, 2);
    expect(powerLawAt(found, 4000)).toBeCloseTo(powerLawAt(law, 4000), 2);
  }
  const rising = fitPowerLaw([[1, 1], [2, 2], [3, 3]]); // biome-ignore format: three points
  expect(rising.scale).toBe(0);
  expect(powerLawSlope({ floor: 1, scale: 3, exponent: 2 }, 4)).toBeCloseTo(6 / 64, 12);
  expect(() => fitPowerLaw([[1, 1]])).toThrow("needs 3 points");
});

test("ado: keeps the prior until it can fit, then prefers what still falls", () => {
  const groups = groupsOf({ slow: 100, done: 100 });
  const sampler = make(ado, { groups, values: { every: 10, least_points: 5, gamma: 1, s: 0 } });
  let rows = 0;
  for (let update = 1; update <= 30; update++) {
    if (update <= 5) expect(sampler.segment().probs).toEqual([0.5, 0.5]);
    const middle = rows + 20;
    rows += 40;
    const training = [1 + 20 * middle ** -0.5, 1 + 20 * middle ** -1.5];
    sampler.update({ step: 10 * update, training, drawn: [40, 40] });
  }
  // Slopes at n rows: 10 n^-1.5 and 30 n^-2.5.
  const [slow, done] = [10 * rows ** -1.5, 30 * rows ** -2.5];
  const share = 0.98 * (slow / (slow + done)) + 0.01;
  expect(sampler.segment().probs[0]).toBeCloseTo(share, 2);
});

test("ado: a group that the prior leaves out does not hold the others up", () => {
  const groups = groupsOf({ a: 100, b: 100, c: 100 });
  const sampler = make(ado, { groups, values: { every: 10, least_points: 3, floor: 0, gamma: 1, mixture: [1, 1, 0] } });
  for (let i = 1; i <= 3; i++) sampler.update({ step: 10 * i, training: [3 / i, 1, Number.NaN], drawn: [40, 40, 0] });
  expect(sampler.segment().probs).toEqual(close([1, 0, 0], 6));
});

test("ado: little of the new preference enters at once, and the floor holds", () => {
  const groups = groupsOf({ a: 100, b: 100 });
  const after = (values: Record<string, unknown>) => {
    const sampler = make(ado, { groups, values: { every: 10, least_points: 3, ...values } });
    for (let i = 1; i <= 3; i++) sampler.update({ step: 10 * i, training: [3 / i, 1], drawn: [40, 40] });
    return sampler.segment().probs;
  };
  expect(after({ floor: 0 })).toEqual(close([0.55, 0.45], 6)); // b does not fall at all: rho = (1, 0)
  expect(after({ gamma: 1, floor: 0.2 })).toEqual(close([0.8, 0.2], 6));
});

test("ado: the preference is that of the formula, with the prior, the history and the middle of every segment", () => {
  const groups = groupsOf({ a: 300, b: 100 });
  const sampler = make(ado, {
    groups,
    values: { every: 10, least_points: 3, floor: 0, s: 0.7, gamma: 0.4, mixture: [1, 3] },
  });
  const laws = [
    { floor: 1, scale: 4, exponent: 0.5 },
    { floor: 2, scale: 3, exponent: 0.25 },
  ];
  const rows = [20, 60];
  const hear = (update: number) => {
    const training = laws.map((law, i) => powerLawAt(law, (update - 0.5) * rows[i]!));
    sampler.update({ step: 10 * update, training, drawn: rows });
    return sampler.segment().probs;
  };
  const expected = (update: number, history: number[]) => {
    const raw = laws.map((law, i) => [0.25, 0.75][i]! * history[i]! ** 0.7 * powerLawSlope(law, update * rows[i]!));
    return history.map((h, i) => expect.closeTo(0.4 * (raw[i]! / (raw[0]! + raw[1]!)) + 0.6 * h, 3));
  };
  hear(1);
  hear(2);
  const third = hear(3);
  expect(third).toEqual(expected(3, [0.25, 0.75]));
  // Three segments under the prior, one under the new mixture.
  expect(hear(4)).toEqual(
    expected(
      4,
      [0, 1].map((i) => (3 * [0.25, 0.75][i]! + third[i]!) / 4),
    ),
  );
});
