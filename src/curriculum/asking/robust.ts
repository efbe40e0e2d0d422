/**
 * Policies that are good on the hardest problems of a class, or of several classes beside what is possible there.
 * Zhang, Katz-Samuels and Nowak 2020, Learning to Actively Learn: A Robust Approach, https://arxiv.org/abs/2010.15382
 *
 *   pi_k = argmin_pi max_{theta in Theta_k} loss(pi, theta)
 *   pi*  = argmin_pi max_k [ max_{theta in Theta_k} loss(pi, theta) - max_{theta in Theta_k} loss(pi_k, theta) ]
 *
 * The maximum is over particles, problems with weights: both climb, the weights by exponentiated gradient, the problems
 * along the likelihood of the answers, and are brought back into their class. The policy descends by the score
 * function, with as baseline the mean of the problem's other games.
 */
import { Random } from "../../data/random.ts";
import { exponentiated, uniform } from "../../run/simplex.ts";
import { Mlp } from "../../run/small-nets/mlp.ts";
import { type Adam, adam } from "../../tensor/descent.ts";
import { type Asker, addScores, chanceScores, FEATURES, type Game, type Loss, play } from "./play.ts";
import { bestOf, drawnProblem, easedTo } from "./problems.ts";

/** Problems of at most a difficulty, and what is lost there at best. */
export interface ProblemClass {
  readonly difficulty: number;
  readonly offset: number;
}

export interface RobustOptions {
  readonly items: number;
  readonly budget: number;
  readonly loss: Loss;
  /** Units of both layers of the policy. */
  readonly hidden: number;
  readonly steps: number;
  readonly lr: number;
  /** Problems in all, at least one for each class. */
  readonly particles: number;
  /** Games of every problem in a step, at least 2. */
  readonly games: number;
  /** Rate at which problems climb. */
  readonly climb: number;
  /** Rate of their weights. */
  readonly eta: number;
  readonly seed: number;
  /** Hears of every step. */
  readonly done?: () => void | Promise<void>;
}

export const freshPolicy = ({ hidden, seed }: Pick<RobustOptions, "hidden" | "seed">): Mlp =>
  Mlp.fresh([FEATURES, hidden, hidden, 1], new Random(seed, "query", "policy"), 0.1);

const meanOf = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Every game's loss less the mean of the problem's other games, by problem. */
const advantages = (losses: readonly number[]): number[] => {
  const sum = losses.reduce((a, b) => a + b, 0);
  return losses.map((loss) => loss - (sum - loss) / (losses.length - 1));
};

/** Problems with weights, which climb. */
export class Adversary {
  readonly problems: number[][];
  weights: number[];
  readonly #classOf: readonly ProblemClass[];
  readonly #given: RobustOptions;
  readonly #steps: readonly Adam[];

  constructor(classes: readonly ProblemClass[], given: RobustOptions) {
    this.#given = given;
    this.#classOf = Array.from(
      { length: Math.max(given.particles, classes.length) },
      (_, m) => classes[m % classes.length]!,
    );
    this.problems = this.#classOf.map(({ difficulty }, m) =>
      drawnProblem(given.items, difficulty, new Random(given.seed, "query", "particle", m)),
    );
    this.weights = uniform(this.problems.length);
    this.#steps = this.problems.map(() => adam(given.climb));
  }

  /** A game's problem, of games in the order of problems. */
  repeated(): number[][] {
    return this.problems.flatMap((problem) => Array.from({ length: this.#given.games }, () => problem));
  }

  /** Games of every problem. */
  split(games: readonly Game[]): Game[][] {
    const each = this.#given.games;
    return this.problems.map((_, m) => games.slice(m * each, (m + 1) * each));
  }

  /** Both climb by what was lost. */
  climb(byProblem: readonly (readonly Game[])[]): void {
    const { loss, eta } = this.#given;
    const gains = byProblem.map((games, m) => meanOf(games.map((game) => game.loss)) - this.#classOf[m]!.offset);
    this.weights = exponentiated(this.weights, gains, eta);
    for (const [m, games] of byProblem.entries()) {
      const means = this.problems[m]!;
      const best = bestOf(means);
      const down = new Float64Array(means.length);
      const better = advantages(games.map((game) => game.loss));
      for (const [g, game] of games.entries()) {
        for (const [i, score] of chanceScores(game, means).entries()) down[i]! -= (better[g]! * score) / games.length;
        if (loss === "regret") {
          down[best]! -= 1 / games.length;
          down[game.answer]! += 1 / games.length;
        }
      }
      const moved = Float64Array.from(means);
      this.#steps[m]!.step(moved, down);
      this.problems[m] = easedTo([...moved], this.#classOf[m]!.difficulty);
    }
  }
}

/** One step of a policy down what the games of weighed problems lost. */
function descend(policy: Mlp, steps: Adam, played: ReturnType<typeof play>, weights: readonly number[], each: number) {
  const factors = weights.flatMap((weight, m) =>
    advantages(played.games.slice(m * each, (m + 1) * each).map(({ loss }) => loss)).map((a) => (weight * a) / each),
  );
  const into = new Float64Array(policy.weights.length);
  addScores(policy, played, factors, into);
  steps.step(policy.weights, into);
}

/** The policy that loses least on the worst problem of the classes, beside their offsets. Deterministic. */
export async function robustPolicy(classes: readonly ProblemClass[], given: RobustOptions): Promise<Mlp> {
  const policy = freshPolicy(given);
  const adversary = new Adversary(classes, given);
  const down = adam(given.lr);
  for (let step = 0; step < given.steps; step++) {
    const played = play(policy, adversary.repeated(), { ...given, key: [given.seed, "query", "games", step] });
    descend(policy, down, played, adversary.weights, given.games);
    adversary.climb(adversary.split(played.games));
    await given.done?.();
  }
  return policy;
}

/** The policy that loses least on average over problems of at most a difficulty, drawn anew for every step. */
export async function averagePolicy(difficulty: number, given: RobustOptions): Promise<Mlp> {
  const policy = freshPolicy(given);
  const down = adam(given.lr);
  for (let step = 0; step < given.steps; step++) {
    const problems = Array.from({ length: given.particles }, (_, m) =>
      drawnProblem(given.items, difficulty, new Random(given.seed, "query", "drawn", step, m)),
    );
    const repeated = problems.flatMap((problem) => Array.from({ length: given.games }, () => problem));
    const played = play(policy, repeated, { ...given, key: [given.seed, "query", "games", step] });
    descend(policy, down, played, uniform(problems.length), given.games);
    await given.done?.();
  }
  return policy;
}

/** Problems that a policy does badly on: particles climb against it as it is, `given.steps` times. */
export async function hardProblems(asker: Asker, difficulty: number, given: RobustOptions): Promise<number[][]> {
  const adversary = new Adversary([{ difficulty, offset: 0 }], given);
  for (let step = 0; step < given.steps; step++) {
    const played = play(asker, adversary.repeated(), { ...given, key: [given.seed, "query", "hard", step] });
    adversary.climb(adversary.split(played.games));
    await given.done?.();
  }
  return adversary.problems;
}

/** Games of the first look at every problem, how many of them are looked at again, and games of that. */
export interface Measuring {
  readonly games: number;
  readonly again: number;
  readonly last: number;
}

/** The largest mean loss over the problems: the worst of a first look are played again, and the worst then counts. */
export function worstLoss(
  asker: Asker,
  problems: readonly (readonly number[])[],
  { games, again, last }: Measuring,
  given: Pick<RobustOptions, "budget" | "loss" | "seed">,
): number {
  const lossesOf = (some: readonly (readonly number[])[], count: number, key: string): number[] => {
    const repeated = some.flatMap((problem) => Array.from({ length: count }, () => problem));
    const played = play(asker, repeated, { ...given, key: [given.seed, "query", key] }).games;
    return some.map((_, m) => meanOf(played.slice(m * count, (m + 1) * count).map(({ loss }) => loss)));
  };
  const first = lossesOf(problems, games, "first look");
  const order = [...first.keys()].sort((a, b) => first[b]! - first[a]! || a - b);
  const worst = order.slice(0, again).map((m) => problems[m]!);
  return Math.max(...lossesOf(worst, last, "last look"));
}
