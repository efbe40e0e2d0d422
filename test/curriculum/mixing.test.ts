/** Mixtures from held-out or training losses: static, skill-it, aioli, doremi, ado. */
import { expect, test } from "bun:test";
import { method as ado } from "../../src/curriculum/methods/samplers/ado.ts";
import { method as aioli, normaliseLaw, probeMixture, solveLaw } from "../../src/curriculum/methods/samplers/aioli.ts";
import { method as doremi } from "../../src/curriculum/methods/samplers/doremi.ts";
import { method as skillIt, skillShares } from "../../src/curriculum/methods/samplers/skill-it.ts";
import { method as fixed } from "../../src/curriculum/methods/samplers/static.ts";
import { method as stratified } from "../../src/curriculum/methods/samplers/stratified.ts";
import { fitPowerLaw, powerLawAt, powerLawSlope } from "../../src/curriculum/power-law-fit.ts";
import { Random } from "../../src/data/random.ts";
import { drive, type Given, groupsOf, linearWorld, make, saturatingWorld } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));
const THIRDS = close([1 / 3, 1 / 3, 1 / 3]);
const IDENTITY = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

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

const skills = ({ graph, ...given }: Given & { graph: number[][] }, losses = [1, 2, 0.5]) => {
  const values = { graph: JSON.stringify(graph), round: 100, every: 50, ...given.values };
  const sampler = make(skillIt, { steps: 600, ...given, values });
  const world = saturatingWorld([0, 0, 0], losses, [0, 0, 0]); // losses that stay
  return { sampler, heard: drive(sampler, world, 600).map(({ segment }) => segment) };
};

test("skill-it: follows its formula with the window across rounds", () => {
  const graph = [
    [1, 0.5, 0],
    [0, 1, 0],
    [0.2, 0, 1],
  ];
  const { heard } = skills({ graph });
  const share = (scores: number[]) => {
    const raised = graph.map((row) => Math.exp(0.5 * row.reduce((sum, edge, j) => sum + edge * scores[j]!, 0)));
    return close(raised.map((value) => value / raised.reduce((a, b) => a + b, 0)));
  };
  expect(heard.length).toBe(12);
  expect(heard.every(({ steps }) => steps === 50)).toBe(true);
  expect(heard[0]!.probs).toEqual(share([1, 1, 1]));
  expect(heard[1]!.probs).toEqual(heard[0]!.probs); // an evaluation within the round
  expect(heard[2]!.probs).toEqual(share([2, 4, 1])); // two evaluations so far
  expect(heard[4]!.probs).toEqual(share([3, 6, 1.5])); // the last three of four
});

test("skill-it: graphs that say nothing give the uniform mixture", () => {
  const zero = IDENTITY.map((row) => row.map(() => 0));
  const ones = IDENTITY.map((row) => row.map(() => 1));
  for (const graph of [zero, ones]) {
    const { sampler, heard } = skills({ graph });
    for (const { probs } of heard) expect(probs).toEqual(THIRDS);
    expect(sampler.notes!().warning).toContain("graph");
  }
  const { sampler, heard } = skills({ graph: [[1, 0.5, 0], ...IDENTITY.slice(1)], values: { eta: 0 } });
  for (const { probs } of heard) expect(probs).toEqual(THIRDS);
  expect(sampler.notes!().warning).toBeUndefined();
});

test("skill-it: a constant more in every row changes nothing, and the identity heeds a skill's own loss", () => {
  const graph = [
    [1, 0.5, 0],
    [0, 1, 0.3],
    [0.2, 0, 1],
  ];
  const scores = [1, 2, 0.5];
  const more = graph.map((row) => row.map((edge, j) => edge + [0.4, 2, 1][j]!));
  expect(skillShares(more, scores, 0.5)).toEqual(close(skillShares(graph, scores, 0.5)));
  const own = skillShares(IDENTITY, scores, 0.5);
  expect(own[1]! / own[2]!).toBeCloseTo(Math.exp(0.5 * 1.5), 9);
});

test("skill-it: targets, normalised losses, isolated skills, halved edges", () => {
  const graph = [
    [1, 0.5, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  // Only column b counts, by the mean of the window: exp(0.5 * (0.5, 1, 0) * 2).
  const raised = [Math.exp(0.5), Math.exp(1), 1];
  const sum = raised.reduce((a, b) => a + b, 0);
  const targeted = skills({ graph, values: { targets: ["b"] } }).heard.at(-1)!.probs;
  expect(targeted).toEqual(close(raised.map((value) => value / sum)));

  // Losses that stay, over those of the start, are all 1, summed over three evaluations.
  const normalised = skills({ graph, values: { normalize_loss: true } }).heard;
  expect(normalised[0]!.steps).toBe(0);
  expect(normalised.at(-1)!.probs).toEqual(close(skillShares(graph, [3, 3, 3], 0.5)));

  const isolated = skills({ graph, values: { ignore_isolated: true } }).heard.at(-1)!.probs;
  expect(isolated[2]).toBeCloseTo(1 / 3, 12);
  const [a, b] = skillShares(graph, [3, 6, 1.5], 0.5);
  expect(isolated[0]! / isolated[1]!).toBeCloseTo(a! / b!, 9);
  expect(skillShares(IDENTITY, [1, 2, 3], 1, true)).toEqual(THIRDS);

  const halved = skills({ graph, values: { halve_edges: true } }).heard;
  expect(halved[2]!.probs).toEqual(close(skillShares(graph, [2, 4, 1], 0.5)));
  const quarter = [[1, 0.125, 0], ...graph.slice(1)];
  expect(halved[6]!.probs).toEqual(close(skillShares(quarter, [3, 6, 1.5], 0.5)));
});

test("skill-it: in a chain of skills the prerequisite of what is not learnt gets the most", () => {
  const chain = [
    [1, 0.8, 0.6],
    [0, 1, 0.8],
    [0, 0, 1],
  ];
  const { heard } = skills({ graph: chain }, [0.1, 2, 2]);
  const last = heard.at(-1)!.probs;
  expect(last[0]).toBeGreaterThan(last[2]!);
});

test("skill-it: refuses graphs that do not fit", () => {
  expect(() => make(skillIt)).toThrow("--method skill-it needs --graph");
  expect(() => make(skillIt, { values: { graph: JSON.stringify([[1]]) } })).toThrow(
    "--graph is 1 x 1 but there are 3 groups",
  );
  expect(() => make(skillIt, { values: { graph: JSON.stringify([[1, -1, 0], ...IDENTITY.slice(1)]) } })).toThrow(
    "an edge is -1",
  );
  expect(() => make(skillIt, { values: { graph: JSON.stringify(IDENTITY), targets: ["A"] } })).toThrow(
    "--targets: there is no group A",
  );
  expect(() => make(skillIt, { values: { graph: JSON.stringify([[1]]) }, groups: groupsOf({ a: 1 }) })).toThrow(
    "at least two groups",
  );
});

const ANSWER = [
  [0.006, 0.002, 0],
  [0, 0.003, 0.001],
  [0.001, 0, 0.002],
];

/** Numbers of a matrix against those of another, up to scale and shift: R squared. */
function determination(x: readonly number[], y: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const cross = x.reduce((sum, value, i) => sum + (value - mx) * (y[i]! - my), 0);
  const square = (values: readonly number[], m: number) => values.reduce((sum, value) => sum + (value - m) ** 2, 0);
  return cross ** 2 / (square(x, mx) * square(y, my));
}

test("aioli: recovers the law of a linear response, exactly and through noise", () => {
  for (const noise of [0, 0.0005]) {
    const random = new Random(1, "noise", String(noise));
    const sampler = make(aioli, { values: { round: 200 } });
    drive(sampler, linearWorld([5, 5, 5], ANSWER), 60, {
      hear: (feedback) => ({ ...feedback, losses: feedback.losses!.map((loss) => loss + noise * random.normal()) }),
    });
    const law = (sampler.notes!().law as number[][]).flat();
    expect(law.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    expect(Math.min(...law)).toBeGreaterThanOrEqual(-1e-12);
    expect(determination(law, ANSWER.flat())).toBeGreaterThan(noise === 0 ? 1 - 1e-9 : 0.95);
  }
});

test("aioli: a round is its probes, each group as often, then the rest", () => {
  const heard = drive(
    make(aioli, { values: { round: 200, passes: 2, lp_steps: 5 } }),
    linearWorld([5, 5, 5], ANSWER),
    1000,
  );
  const lengths = heard.map(({ segment }) => segment.steps);
  expect(lengths.slice(0, 9)).toEqual([0, 5, 5, 5, 5, 5, 5, 170, 5]);
  expect(lengths.at(-1)).toBe(Number.POSITIVE_INFINITY);
  const pass = heard.slice(1, 4).map(({ segment }) => segment.probs.indexOf(0.5));
  expect(pass.toSorted()).toEqual([0, 1, 2]);
  const rest = heard[7]!.segment.probs;
  const sums = [0, 1, 2].map((j) => ANSWER.reduce((sum, row) => sum + row[j]!, 0) / 0.015);
  expect(rest[0]! / rest[2]!).toBeCloseTo(Math.exp(0.2 * (sums[0]! - sums[2]!)), 9);
  // Without a moving average the same law adds up from round to round; with one it does not.
  const second = heard[14]!.segment.probs;
  expect(second[0]! / second[2]!).toBeCloseTo((rest[0]! / rest[2]!) ** 2, 9);
  const averaged = drive(
    make(aioli, { values: { round: 200, passes: 2, lp_steps: 5, gamma: 0.5 } }),
    linearWorld([5, 5, 5], ANSWER),
    1000,
  );
  expect(averaged[14]!.segment.probs).toEqual(close(rest));
});

test("aioli: every round is measured anew, in an order of its own, and gamma weighs the rounds before", () => {
  const other = ANSWER.map((row) => row.toReversed());
  const run = (values: Record<string, unknown>) => {
    let losses = [5, 5, 5];
    let step = 0;
    const changing = {
      get losses() {
        return losses;
      },
      train(probs: readonly number[], steps: number) {
        const answer = step < 200 ? ANSWER : other;
        losses = losses.map((loss, i) => loss - steps * answer[i]!.reduce((sum, a, j) => sum + a * probs[j]!, 0));
        step += steps;
      },
    };
    return drive(make(aioli, { values: { round: 200, ...values } }), changing, 1000).map(
      ({ segment }) => segment.probs,
    );
  };
  const sums = (law: number[][]) => [0, 1, 2].map((j) => law.reduce((sum, row) => sum + row[j]!, 0) / 0.015);
  const [first, second] = [sums(ANSWER), sums(other)];
  const step = (gains: number[]) => {
    const raised = gains.map((gain) => Math.exp(0.2 * gain));
    return close(raised.map((value) => value / raised.reduce((a, b) => a + b, 0)));
  };
  const adding = run({});
  expect(adding[13]).toEqual(step(first));
  expect(adding[26]).toEqual(step(first.map((gain, j) => gain + second[j]!)));
  expect(run({ gamma: 0.2 })[26]).toEqual(step(first.map((gain, j) => 0.2 * gain + 0.8 * second[j]!)));
  const probed = (from: number) => adding.slice(from, from + 12).map((probs) => probs.indexOf(0.5));
  expect(probed(1)).not.toEqual(probed(14));
  expect(run({}).slice(1, 13)).toEqual(adding.slice(1, 13));
});

test("aioli: solving and normalising", () => {
  const random = new Random(3, "law");
  for (const [k, f] of [
    [2, 0.6],
    [3, 0.5],
    [5, 0.9],
    [4, 1],
  ] as const) {
    const drops = Array.from({ length: k }, () => Array.from({ length: k }, () => random.normal()));
    const law = solveLaw(drops, f);
    for (const [i, row] of law.entries()) {
      for (let r = 0; r < k; r++) {
        const rebuilt = probeMixture(k, r, f).reduce((sum, p, j) => sum + p * row[j]!, 0);
        expect(rebuilt).toBeCloseTo(drops[i]![r]!, 9);
      }
    }
    if (f === 1) expect(law).toEqual(drops);
    const normal = normaliseLaw(law).flat();
    expect(Math.min(...normal)).toBeGreaterThanOrEqual(0);
    expect(normal.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
  }
  expect(normaliseLaw([[0, 0], [0, 0]])).toEqual([[0.25, 0.25], [0.25, 0.25]]); // biome-ignore format: one matrix a side
});

test("aioli: the prior mixture first, and the diagonal alone", () => {
  const heard = drive(
    make(aioli, { values: { round: 200, mixture: [2, 1, 1], prior_steps: 300, diagonal: true } }),
    linearWorld([5, 5, 5], ANSWER),
    1000,
  );
  expect(heard[0]!.segment).toEqual({ probs: [0.5, 0.25, 0.25], steps: 300 });
  const rest = heard[13]!.segment;
  expect(rest.steps).toBe(200 - 48);
  expect(rest.probs[1]).toBeLessThan(0.25 * 1.0001);
  const diagonal = make(aioli, { values: { round: 200, diagonal: true } });
  drive(diagonal, linearWorld([5, 5, 5], ANSWER), 60);
  const law = diagonal.notes!().law as number[][];
  expect(law.flatMap((row, i) => row.filter((_, j) => j !== i))).toEqual([0, 0, 0, 0, 0, 0]);
});

test("aioli: refuses rounds without room", () => {
  const refused = (values: Record<string, unknown>) => () => make(aioli, { steps: 1000, values });
  expect(refused({ round: 48 })).toThrow("--passes 4 and --lp-steps 4 for 3 groups take 48 steps of a round of 48");
  expect(refused({ round: 49 })).not.toThrow();
  expect(refused({ round: 2000 })).toThrow("--round 2000 does not fit into 1000 steps");
  expect(refused({ round: 400, prior_steps: 601 })).toThrow("--prior-steps 601 and --round 400 do not fit");
  expect(refused({ round: 400, share: 1 / 3 })).toThrow("does not favour one of 3 groups");
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
