/**
 * Every reward counts by a Lagrange multiplier of its own, which falls once its mean is beyond a threshold and rises
 * below it; what the multipliers leave goes to the divergence from the model as it was. Moskovitz et al. 2023,
 * https://arxiv.org/abs/2310.04373
 *
 * Advantages of each reward alone are those of the method, with mean 0 and variance 1 over the rollout. Where the
 * method has a value head, each reward has one of its own, and the divergence has one: the first.
 */
import { UserError } from "../../../errors.ts";
import { isObject, type Json } from "../../../json.ts";
import { keyedNormals } from "../../../keyed-random.ts";
import { finished } from "../advantages.ts";
import type { Advantages, PolicyMethod, Rewarded, SharedValues } from "../contract.ts";
import { aloneOf, columnOf } from "./alone.ts";
import type { Plain, RewardWeights, Weighed } from "./contract.ts";

export interface ConstrainedSetup {
  /** Of the terms, each with the mean that it is to have. */
  readonly names: readonly string[];
  readonly thresholds: readonly number[];
  /** Whether a mean may be above its threshold at no cost: else it is pushed down again. */
  readonly constraint: "geq" | "eq";
  readonly rate: number;
  readonly momentum: number;
  readonly seed: number;
}

/** Standard deviation of what multipliers begin at, before they are squashed. */
const BEGIN = 0.01;

const at = (own: number | Float64Array, t: number): number => (typeof own === "number" ? own : own[t]!);

/** How many rewards a value head tells apart: those that are held at thresholds, and the divergence before them. */
export const headsOf = (
  { value }: Pick<PolicyMethod, "value">,
  { reward_weights: kind, thresholds = [] }: SharedValues,
): number => (value && kind === "constrained" ? thresholds.length + 1 : 1);

/** What one of several heads foretells, row by row. */
const headOf = (all: Rewarded["estimates"], head: number, heads: number): Float64Array[] | undefined =>
  all?.map((row) => row.filter((_, i) => i % heads === head));

/** Sums of advantages times weights, row by row; those of an answer count for each of its tokens. */
function mixed(parts: readonly (readonly [weight: number, advantages: Advantages])[]): Advantages {
  return parts[0]![1].map((_, row) => {
    const tokens = parts.map(([, all]) => all[row]!).find((own) => typeof own !== "number");
    const sum = (t: number) => parts.reduce((all, [weight, own]) => all + weight * at(own[row]!, t), 0);
    return tokens ? tokens.map((_, t) => sum(t)) : sum(0);
  });
}

export class ConstrainedWeights implements RewardWeights {
  readonly #setup: ConstrainedSetup;
  #raw: number[];
  #speed: number[];

  /** Means that rewards are held at; a search for them sets others. */
  thresholds: readonly number[];

  constructor(setup: ConstrainedSetup) {
    this.#setup = setup;
    this.thresholds = setup.thresholds;
    this.#raw = [...keyedNormals(setup.names.length, BEGIN, setup.seed, "multipliers of rewards")];
    this.#speed = setup.names.map(() => 0);
  }

  /** Between 0 and 1; of equalities between -1 and 1. */
  get multipliers(): number[] {
    return this.#raw.map(this.#setup.constraint === "geq" ? (u) => 1 / (1 + Math.exp(-u)) : Math.tanh);
  }

  weighed(given: Rewarded<never>, plain: Plain): Weighed {
    const multipliers = this.multipliers;
    const left = multipliers.reduce((rest, m) => rest - m, multipliers.length);
    const heads = multipliers.length + 1;
    const estimates = Array.from({ length: heads }, (_, h) => headOf(given.estimates, h, heads));
    const alone = (h: number, rewards: Float64Array, penalties?: Rewarded["penalties"]): Advantages =>
      aloneOf({ ...given, estimates: estimates[h] }, plain, rewards, { penalties });
    const raw = [
      alone(0, new Float64Array(given.rewards.length), given.penalties),
      ...multipliers.map((_, k) => alone(k + 1, columnOf(given, k))),
    ];
    const values: SharedValues = given.values;
    const white = raw.map((own) => finished(own, { ...values, whiten: true }));
    const returns = given.estimates?.map((all, row) =>
      all.map((estimate, i) => estimate + at(raw[i % heads]![row]!, Math.floor(i / heads))),
    );
    return {
      advantages: mixed(white.map((own, h) => [h === 0 ? left : multipliers[h - 1]!, own])),
      returns,
      isWhite: true,
    };
  }

  /** One step of gradient descent on the sum of multipliers times what means are above their thresholds. */
  heard(means: readonly number[]): void {
    const { constraint, rate, momentum } = this.#setup;
    const { thresholds } = this;
    for (const [k, m] of this.multipliers.entries()) {
      const slope = constraint === "geq" ? m * (1 - m) : 1 - m * m;
      this.#speed[k] = momentum * this.#speed[k]! + slope * (means[k]! - thresholds[k]!);
      this.#raw[k]! -= rate * this.#speed[k]!;
    }
  }

  told(): Record<string, number> {
    const { names } = this.#setup;
    return Object.fromEntries(this.multipliers.map((m, k) => [`multiplier.${names[k]!.replaceAll("-", "_")}`, m]));
  }

  state(): Json {
    return { raw: [...this.#raw], speed: [...this.#speed] };
  }

  load(state: Json): void {
    const isOfTerms = (all: unknown): all is number[] =>
      Array.isArray(all) && all.length === this.#raw.length && all.every((x) => typeof x === "number");
    const { raw, speed } = isObject(state) ? state : {};
    if (!isOfTerms(raw) || !isOfTerms(speed))
      throw new UserError("the saved state of what weighs the rewards is damaged", "start again without --resume");
    [this.#raw, this.#speed] = [[...raw], [...speed]];
  }
}
