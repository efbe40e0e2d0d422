/** Problems, games and policies that ask for answers, against plain arithmetic. */
import { expect, test } from "bun:test";
import { chanceScores, featuresOf, noAnswers, type PlayOptions, play } from "../../../src/curriculum/asking/play.ts";
import {
  difficultyOf,
  drawnProblem,
  easedTo,
  leastDifficulty,
  MARGIN,
} from "../../../src/curriculum/asking/problems.ts";
import {
  Adversary,
  freshPolicy,
  hardProblems,
  type RobustOptions,
  robustPolicy,
  worstLoss,
} from "../../../src/curriculum/asking/robust.ts";
import { Random } from "../../../src/data/random.ts";

const GIVEN: RobustOptions = {
  ...{ items: 3, budget: 6, loss: "wrong", hidden: 6, steps: 40, lr: 0.03 },
  ...{ particles: 8, games: 6, climb: 0.03, eta: 0.1, seed: 1 },
};
const playing = (key: string): PlayOptions => ({ budget: 6, loss: "wrong", key: [key] });

test("difficulty, and problems that are brought into a class", () => {
  expect(difficultyOf([0.5, 0.25, 0.4])).toBeCloseTo(16 + 100, 9);
  expect(difficultyOf([0.5, 0.5, 0])).toBe(Number.POSITIVE_INFINITY);
  expect(easedTo([0.5, 0.25, 0.4], 200)).toEqual([0.5, 0.25, 0.4]);
  for (const most of [leastDifficulty(3) * 1.02, 5, 50]) {
    const eased = easedTo([0.5, 0.45, 0.5], most);
    expect(difficultyOf(eased)).toBeLessThanOrEqual(most);
    expect(difficultyOf(eased)).toBeGreaterThan(0.98 * most);
    expect(eased.every((mean) => mean >= MARGIN && mean <= 1 - MARGIN)).toBe(true);
    expect(eased.indexOf(Math.max(...eased))).toBe(0);
  }
  const drawn = Array.from({ length: 20 }, (_, i) => difficultyOf(drawnProblem(4, 30, new Random("drawn", i))));
  expect(Math.max(...drawn)).toBeLessThanOrEqual(30);
  expect(Math.max(...drawn) / Math.min(...drawn)).toBeGreaterThan(3);
});

test("what a policy sees of items", () => {
  const answers = noAnswers(2);
  answers.counts.set([3, 1]);
  answers.wins.set([2, 0]);
  const seen = new Float64Array(12);
  featuresOf(answers, 8, seen);
  const [a, b] = [3 / 5, 1 / 3];
  const wanted = [
    3 / 8,
    a,
    a - b,
    Math.sqrt((a * (1 - a)) / 6),
    1,
    0.5,
    1 / 8,
    b,
    b - a,
    Math.sqrt((b * (1 - b)) / 4),
    0,
    0.5,
  ];
  for (const [i, value] of wanted.entries()) expect(seen[i]!).toBeCloseTo(value, 12);
});

test("asking in turn loses what the binomial says", () => {
  // Two items, one answer of each: right where the better one alone wins, and half of the ties.
  const problems = Array.from({ length: 4000 }, () => [0.8, 0.3]);
  const { games } = play("in turn", problems, { ...playing("turn"), budget: 2 });
  const wrong = games.reduce((sum, { loss }) => sum + loss, 0) / games.length;
  expect(Math.abs(wrong - (0.2 * 0.3 + 0.5 * (0.8 * 0.3 + 0.2 * 0.7)))).toBeLessThan(0.025);
  expect(games.every(({ asked }) => asked.join() === "0,1")).toBe(true);
  const regrets = play("in turn", problems.slice(0, 50), { ...playing("turn"), budget: 2, loss: "regret" }).games;
  for (const [i, { loss }] of regrets.entries()) expect(loss).toBeCloseTo(games[i]!.loss / 2, 12);
});

test("scores of chances are those of the likelihood of the answers", () => {
  const { games } = play("in turn", [[0.8, 0.3]], playing("score"));
  const { counts, wins } = games[0]!.answers;
  const log = (means: number[]) =>
    means.reduce((sum, p, i) => sum + wins[i]! * Math.log(p) + (counts[i]! - wins[i]!) * Math.log(1 - p), 0);
  const found = chanceScores(games[0]!, [0.8, 0.3]);
  for (const i of [0, 1]) {
    const at = (by: number) => log([0.8, 0.3].map((p, j) => (j === i ? p + by : p)));
    expect(found[i]!).toBeCloseTo((at(1e-6) - at(-1e-6)) / 2e-6, 4);
  }
});

test("the policy sees no order of items: games of shuffled problems have the same chances", () => {
  const policy = freshPolicy({ hidden: 6, seed: 3 });
  const answers = noAnswers(3);
  answers.counts.set([1, 2, 0]);
  answers.wins.set([1, 0, 0]);
  const of = (order: readonly number[]) => {
    const own = {
      counts: answers.counts.map((_, i) => answers.counts[order[i]!]!),
      wins: answers.wins.map((_, i) => answers.wins[order[i]!]!),
    };
    const seen = new Float64Array(18);
    featuresOf(own, 6, seen);
    return [...policy.output(seen, 3)];
  };
  const plain = of([0, 1, 2]);
  expect(of([2, 0, 1])).toEqual([plain[2]!, plain[0]!, plain[1]!]);
});

test("with one class the offset changes nothing: the ordinary minimax", async () => {
  const [plain, moved] = await Promise.all(
    [0, 0.25].map((offset) => robustPolicy([{ difficulty: 8, offset }], { ...GIVEN, steps: 6 })),
  );
  const away = plain!.weights.map((weight, i) => Math.abs(weight - moved!.weights[i]!));
  expect(Math.max(...away)).toBeLessThan(1e-9);
});

test("particles climb inside their class, and to what loses more", async () => {
  const problems = await hardProblems("in turn", 12, GIVEN);
  for (const problem of problems) expect(difficultyOf(problem)).toBeLessThanOrEqual(12);
  const measuring = { games: 100, again: 8, last: 400 };
  const mean = (some: readonly number[][]) => {
    const { games } = play(
      "in turn",
      some.flatMap((p) => Array.from({ length: 200 }, () => p)),
      playing("mean"),
    );
    return games.reduce((sum, { loss }) => sum + loss, 0) / games.length;
  };
  const first = new Adversary([{ difficulty: 12, offset: 0 }], GIVEN).problems;
  expect(mean(problems)).toBeGreaterThan(mean(first) + 0.03);
  expect(worstLoss("in turn", problems, measuring, GIVEN)).toBeGreaterThanOrEqual(mean(problems));
});

test("a learnt policy loses less on the worst problem than asking in turn", async () => {
  const policy = await robustPolicy([{ difficulty: 12, offset: 0 }], { ...GIVEN, items: 5, budget: 8, steps: 120 });
  const given = { ...GIVEN, items: 5, budget: 8 };
  const problems = [...(await hardProblems(policy, 12, given)), ...(await hardProblems("in turn", 12, given))];
  const [learnt, turn] = [policy, "in turn" as const].map((asker) =>
    worstLoss(asker, problems, { games: 60, again: 4, last: 400 }, given),
  );
  expect(learnt!).toBeLessThan(turn! - 0.04);
}, 60_000);
