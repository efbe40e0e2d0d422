/**
 * Asking for answers one after the other: what a policy sees of every item, games of some problems side by side, and
 * the gradient of what they lose.
 */
import { Random } from "../../data/random.ts";
import { logSoftmax } from "../../run/small-nets/categorical.ts";
import type { Mlp, Pass } from "../../run/small-nets/mlp.ts";
import { bestOf } from "./problems.ts";

/** Answers so far, of every item. */
export interface Answers {
  readonly counts: Float64Array;
  readonly wins: Float64Array;
}

export const noAnswers = (items: number): Answers => ({
  counts: new Float64Array(items),
  wins: new Float64Array(items),
});

/** What a policy sees of an item. */
export const FEATURES = 6;

/** Chances of a yes, (wins + 1) / (count + 2) of every item. */
const believed = ({ counts, wins }: Answers): Float64Array => wins.map((won, i) => (won + 1) / (counts[i]! + 2));

/**
 * Of every item (items, 6): its share of the budget, the believed chance, how far it is from the best other one, its
 * deviation, whether it leads, and the share of the budget that is left.
 */
export function featuresOf(answers: Answers, budget: number, into: Float64Array, from = 0): void {
  const { counts } = answers;
  const means = believed(answers);
  const best = bestOf([...means]);
  const second = means.reduce((most, mean, i) => (i === best ? most : Math.max(most, mean)), Number.NEGATIVE_INFINITY);
  const left = (budget - counts.reduce((sum, count) => sum + count, 0)) / budget;
  for (const [i, mean] of means.entries()) {
    const gap = mean - (i === best ? second : means[best]!);
    const deviation = Math.sqrt((mean * (1 - mean)) / (counts[i]! + 3));
    into.set([counts[i]! / budget, mean, gap, deviation, gap >= 0 ? 1 : 0, left], from + i * FEATURES);
  }
}

/** The item with the best believed chance, by lot among several, or the first of them. */
export function answerOf(answers: Answers, random?: Random): number {
  const means = believed(answers);
  const most = Math.max(...means);
  const best = [...means.keys()].filter((i) => means[i] === most);
  return random ? random.pick(best) : best[0]!;
}

/** A policy; "in turn" asks of all items alike. */
export type Asker = Mlp | "in turn";

/** What a wrong answer loses: 1, or by how much the item is worse than the best. */
export type Loss = "wrong" | "regret";

/** The game of one problem. */
export interface Game {
  readonly loss: number;
  readonly answers: Answers;
  /** The item that it names. */
  readonly answer: number;
  /** What it asked for, in order. */
  readonly asked: readonly number[];
}

export interface Games {
  readonly games: readonly Game[];
  /** Of every question; of a policy. */
  readonly passes: readonly Pass[];
}

export interface PlayOptions {
  readonly budget: number;
  readonly loss: Loss;
  /** Chooses the games. */
  readonly key: readonly (string | number)[];
}

/** Chances of asking of every item, for features of one state (items, 6). */
export const chancesOf = (policy: Mlp, features: Float64Array): number[] => [
  ...logSoftmax(policy.output(features, features.length / FEATURES)).map(Math.exp),
];

/** Plays a game of every problem, with questions that are drawn. */
export function play(asker: Asker, problems: readonly (readonly number[])[], given: PlayOptions): Games {
  const { budget, loss, key } = given;
  const items = problems[0]!.length;
  const randoms = problems.map((_, game) => new Random(...key, game));
  const answers = problems.map(() => noAnswers(items));
  const asked = problems.map(() => [] as number[]);
  const passes: Pass[] = [];
  for (let t = 0; t < budget; t++) {
    const rows = problems.length * items;
    let logits: Float64Array | undefined;
    if (asker !== "in turn") {
      const features = new Float64Array(rows * FEATURES);
      for (const [game, known] of answers.entries()) featuresOf(known, budget, features, game * items * FEATURES);
      const pass = asker.forward(features, rows);
      passes.push(pass);
      logits = pass.values.at(-1)!;
    }
    for (const [game, random] of randoms.entries()) {
      const own = logits?.subarray(game * items, (game + 1) * items);
      const item = own ? random.weighted([...logSoftmax(own).map(Math.exp)]) : t % items;
      asked[game]!.push(item);
      answers[game]!.counts[item]!++;
      if (random.uniform() < problems[game]![item]!) answers[game]!.wins[item]!++;
    }
  }
  const games = problems.map((means, game): Game => {
    const answer = answerOf(answers[game]!, randoms[game]);
    const best = bestOf(means);
    const lost = loss === "wrong" ? Number(answer !== best) : means[best]! - means[answer]!;
    return { loss: lost, answers: answers[game]!, answer, asked: asked[game]! };
  });
  return { games, passes };
}

/** Adds sum_g factors_g * gradient of the log-likelihood of game g's questions to `into`. */
export function addScores(policy: Mlp, { games, passes }: Games, factors: readonly number[], into: Float64Array): void {
  const items = games[0]!.answers.counts.length;
  for (const [t, pass] of passes.entries()) {
    const logits = pass.values.at(-1)!;
    const slopes = new Float64Array(logits.length);
    for (const [game, { asked }] of games.entries()) {
      const own = logSoftmax(logits.subarray(game * items, (game + 1) * items));
      for (const [i, log] of own.entries())
        slopes[game * items + i] = factors[game]! * (Number(i === asked[t]) - Math.exp(log));
    }
    policy.backward(pass, slopes, into);
  }
}

/** The gradient of a game's expected loss by the chances, from one game: of the likelihood of its answers. */
export function chanceScores({ answers: { counts, wins } }: Game, means: readonly number[]): number[] {
  return means.map((mean, i) => wins[i]! / mean - (counts[i]! - wins[i]!) / (1 - mean));
}
