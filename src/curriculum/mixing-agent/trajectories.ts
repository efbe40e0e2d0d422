/**
 * What a mixing agent sees and learns from: trainings under mixtures that change from round to round, with the held-out
 * loss of every group after each.
 */
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";

/** A round: the mixture, and the losses after its steps. */
export interface Round {
  readonly probs: readonly number[];
  readonly losses: readonly number[];
}

export interface Trajectory {
  readonly groups: readonly string[];
  /** Which of them are new; the others are what the model was trained on. */
  readonly isTarget: readonly boolean[];
  /** Shares by size. */
  readonly natural: readonly number[];
  /** Losses before the first round. */
  readonly start: readonly number[];
  readonly rounds: readonly Round[];
  readonly steps: number;
}

/** What is known when a mixture is chosen. */
export type Known = Pick<Trajectory, "isTarget" | "natural" | "start" | "rounds">;

/** Numbers that describe a group. */
export const featureCount = (history: number): number => 2 * history + 2;

/**
 * Features of every group, (K, 2 h + 2): its shares in the last h rounds, the oldest first (its natural share before
 * the first), its losses over its first one, less 1 (0 before the first), its natural share, and 1 where it is new.
 */
export function featuresOf({ isTarget, natural, start, rounds }: Known, history: number): Float64Array {
  const width = featureCount(history);
  const features = new Float64Array(natural.length * width);
  for (const k of natural.keys()) {
    for (let i = 0; i < history; i++) {
      const round = rounds[rounds.length - history + i];
      features[k * width + i] = round ? round.probs[k]! : natural[k]!;
      features[k * width + history + i] = round && start[k]! > 0 ? round.losses[k]! / start[k]! - 1 : 0;
    }
    features[k * width + 2 * history] = natural[k]!;
    features[k * width + 2 * history + 1] = isTarget[k] ? 1 : 0;
  }
  return features;
}

/** Weights of what is gained on the old groups and on the new ones. */
export type FieldWeights = readonly [old: number, target: number];

/** Scores of both fields: minus the mean of their groups' losses over the first ones; 0 of a field without groups. */
function scoresOf({ isTarget, start }: Known, losses: readonly number[]): [number, number] {
  const mean = (wanted: boolean) => {
    const own = losses.flatMap((loss, k) => (isTarget[k] === wanted ? [loss / start[k]!] : []));
    return own.length === 0 ? 0 : -own.reduce((sum, x) => sum + x, 0) / own.length;
  };
  return [mean(false), mean(true)];
}

export interface Transition {
  /** (K, F) */
  readonly state: Float64Array;
  readonly action: readonly number[];
  readonly reward: number;
  /** (K, F); undefined after the last round. */
  readonly next: Float64Array | undefined;
}

/** Rounds as steps of a decision process: the state before each, its mixture, and what was gained. */
export function transitionsOf(trajectory: Trajectory, history: number, weights: FieldWeights): Transition[] {
  const { rounds, start } = trajectory;
  return rounds.map(({ probs, losses }, i) => {
    const before = scoresOf(trajectory, rounds[i - 1]?.losses ?? start);
    const after = scoresOf(trajectory, losses);
    const known = (done: number) => featuresOf({ ...trajectory, rounds: rounds.slice(0, done) }, history);
    return {
      state: known(i),
      action: probs,
      reward: weights[0] * (after[0] - before[0]) + weights[1] * (after[1] - before[1]),
      next: i + 1 < rounds.length ? known(i + 1) : undefined,
    };
  });
}

/** What a trajectory gained in all. */
export const returnOf = (trajectory: Trajectory, weights: FieldWeights): number =>
  transitionsOf(trajectory, 1, weights).reduce((sum, { reward }) => sum + reward, 0);

const areNumbers = (value: unknown, count: number): value is number[] =>
  Array.isArray(value) && value.length === count && value.every((x) => typeof x === "number" && Number.isFinite(x));

/** A line of `mix-agent collect`. Throws UserError naming the place. */
export function trajectoryFrom(value: unknown, place: string): Trajectory {
  const hint = "bun run curriculum mix-agent collect writes such rows";
  if (!isObject(value) || !Array.isArray(value.groups)) throw new UserError(`${place}: expected a trajectory`, hint);
  const k = value.groups.length;
  const { target, natural, start, rounds, steps } = value;
  const isWhole =
    Array.isArray(target) &&
    areNumbers(natural, k) &&
    areNumbers(start, k) &&
    start.every((loss) => loss > 0) &&
    Array.isArray(rounds) &&
    rounds.length > 0 &&
    typeof steps === "number";
  if (!isWhole) throw new UserError(`${place}: a trajectory lacks its groups' numbers`, hint);
  return {
    groups: value.groups.map(String),
    isTarget: value.groups.map((name) => target.includes(name)),
    natural,
    start,
    steps,
    rounds: rounds.map((round) => {
      if (!isObject(round) || !areNumbers(round.probs, k) || !areNumbers(round.losses, k))
        throw new UserError(`${place}: a round lacks its mixture or its losses`, hint);
      return { probs: round.probs, losses: round.losses };
    }),
  };
}
