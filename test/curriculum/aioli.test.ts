/** Aioli on models whose response is known. */
import { expect, test } from "bun:test";
import { method as aioli, solveLaw } from "../../src/curriculum/methods/samplers/aioli.ts";
import { Random } from "../../src/data/random.ts";
import { normaliseLaw, probeMixture } from "../../src/run/mixture-laws.ts";
import { drive, linearWorld, make } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));

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

test("aioli: between probes the mixture does not depend on the order of groups, and eta 0 keeps the prior", () => {
  const mixtures = (order: readonly number[], values: Record<string, unknown> = {}) => {
    const rows = order.map((i) => [10, 20, 30][i]!);
    const groups = order.map((i, at) => ({ name: `g${i}`, rows: rows[at]!, tokens: 10 * rows[at]! }));
    const answer = order.map((i) => order.map((j) => ANSWER[i]![j]!));
    const world = linearWorld([5, 5, 5], answer);
    const heard = drive(make(aioli, { groups, values: { round: 200, ...values } }), world, 1000);
    const between = heard.filter(({ segment }) => segment.steps > 4).map(({ segment }) => segment.probs);
    return between.map((probs) => [0, 1, 2].map((i) => probs[order.indexOf(i)]!));
  };
  for (const gamma of [undefined, 0.3]) {
    const here = mixtures([0, 1, 2], { gamma });
    expect(here.length).toBeGreaterThan(3);
    for (const [i, probs] of mixtures([2, 0, 1], { gamma }).entries()) expect(probs).toEqual(close(here[i]!));
  }
  for (const probs of mixtures([0, 1, 2], { eta: 0, mixture: [4, 3, 1] }))
    expect(probs).toEqual(close([4 / 8, 3 / 8, 1 / 8]));
});
