/**
 * Rewards count more while they reach combinations that none before dominated, and less while they do not: the sum is
 * multiplied by 0.5 + 1.5 tanh of what the last rollouts added to the dominated volume. Lu et al. 2025,
 * https://arxiv.org/abs/2509.11452
 *
 * A measurement is of held-out prompts, as the paper has it, or where there are none the mean of so many rollouts. The
 * first one is of the model as it was: the point from which volumes are counted.
 */
import { UserError } from "../../../errors.ts";
import { isObject, type Json } from "../../../json.ts";
import type { Rewarded } from "../contract.ts";
import type { Plain, RewardWeights, Weighed } from "./contract.ts";

/**
 * The volume between 0 and points, each of as many numbers: of all that is not above some point in any dimension. By
 * slices along the first dimension. A point with a number of 0 or less adds nothing.
 */
export function hypervolume(points: readonly (readonly number[])[]): number {
  const inside = points.filter((point) => point.every((x) => x > 0));
  if (inside.length === 0) return 0;
  if (inside[0]!.length === 1) return Math.max(...inside.map(([x]) => x!));
  const sorted = inside.toSorted(([a], [b]) => a! - b!);
  let [volume, before] = [0, 0];
  for (const [i, [x]] of sorted.entries()) {
    if (x! > before) volume += (x! - before) * hypervolume(sorted.slice(i).map(([, ...rest]) => rest));
    before = x!;
  }
  return volume;
}

export class HypervolumeWeights implements RewardWeights {
  readonly #signs: readonly number[];
  readonly #every: number;
  #reference: readonly number[] | undefined;
  /** Less the reference. */
  #points: (readonly number[])[] = [];
  #sums: number[];
  #count = 0;
  #multiplier = 1;

  /** `weights` of the terms; what weighs less than 0 is to fall. A measurement is a mean of `every` rollouts. */
  constructor(weights: readonly number[], every: number) {
    this.#signs = weights.map((weight) => Math.sign(weight));
    this.#every = every;
    this.#sums = weights.map(() => 0);
  }

  weighed(given: Rewarded<never>, plain: Plain): Weighed {
    const rewards = given.rewards.map((reward) => this.#multiplier * reward);
    return { advantages: plain({ ...given, rewards }) };
  }

  heard(means: readonly number[]): void {
    const now = means.map((mean, k) => mean * this.#signs[k]!);
    if (!this.#reference) {
      this.#reference = now;
      return;
    }
    this.#sums = this.#sums.map((sum, k) => sum + now[k]!);
    if (++this.#count < this.#every) return;
    const point = this.#sums.map((sum, k) => sum / this.#count - this.#reference![k]!);
    const gain = Math.max(0, hypervolume([...this.#points, point]) - hypervolume(this.#points));
    this.#multiplier = 0.5 + 1.5 * Math.tanh(gain);
    if (gain > 0) this.#points.push(point);
    [this.#sums, this.#count] = [means.map(() => 0), 0];
  }

  told(): Record<string, number> {
    return { reward_multiplier: this.#multiplier, hypervolume: hypervolume(this.#points) };
  }

  state(): Json {
    return {
      reference: this.#reference ? [...this.#reference] : null,
      points: this.#points.map((point) => [...point]),
      sums: [...this.#sums],
      count: this.#count,
      multiplier: this.#multiplier,
    };
  }

  load(state: Json): void {
    const isPoint = (point: unknown): point is number[] =>
      Array.isArray(point) && point.length === this.#signs.length && point.every((x) => typeof x === "number");
    const { reference, points, sums, count, multiplier } = isObject(state) ? state : {};
    if (
      !(reference === null || isPoint(reference)) ||
      !(Array.isArray(points) && points.every(isPoint)) ||
      !isPoint(sums) ||
      typeof count !== "number" ||
      typeof multiplier !== "number"
    )
      throw new UserError("the saved state of what weighs the rewards is damaged", "start again without --resume");
    this.#reference = reference ?? undefined;
    [this.#points, this.#sums, this.#count, this.#multiplier] = [points as number[][], sums, count, multiplier];
  }
}
