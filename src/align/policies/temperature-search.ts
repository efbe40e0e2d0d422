/**
 * What a policy that learns from its own right answers can still find: how often some answer to a held-out prompt is
 * right, and how often one of the two that rank highest is. The temperature of sampling may be the one of a list where
 * the second share is largest. Liu et al. 2024, https://arxiv.org/abs/2412.17451
 */
import type { Bound } from "../../method/bind.ts";
import { groupsIn, meanOf, weightedSums } from "./advantages.ts";
import type { Choosable, PolicyMethod, SharedValues } from "./contract.ts";
import type { HeldPrompts } from "./held-prompts.ts";

/** Answers of a group of which one has to be right. */
const TOP = 2;

/** Shares of prompts. */
export interface Passes {
  /** Some answer is right. */
  readonly all: number;
  /** One of the two that rank highest is; of equals the first count. */
  readonly ranked: number;
}

/** Of answers in groups, with their ranks. */
export function passesOf(right: readonly boolean[], ranks: Float64Array, group: number): Passes {
  const prompts = groupsIn(ranks, group).map((own, g) => {
    const isRight = (i: number) => right[g * group + i]!;
    const best = [...own.keys()].sort((a, b) => own[b]! - own[a]! || a - b).slice(0, TOP);
    return { all: [...own.keys()].some(isRight), ranked: best.some(isRight) };
  });
  const share = (of: "all" | "ranked") => meanOf(prompts.map((prompt) => (prompt[of] ? 1 : 0)));
  return { all: share("all"), ranked: share("ranked") };
}

export interface SearchSetup {
  readonly chosen: Bound<PolicyMethod>;
  readonly held: HeldPrompts;
  /** Of the terms. */
  readonly weights: readonly number[];
  /** Temperatures to choose from. */
  readonly grid: readonly number[];
  /** Rollouts between two looks. */
  readonly every: number;
}

export class TemperatureSearch {
  readonly every: number;
  readonly #setup: SearchSetup;

  constructor(setup: SearchSetup) {
    [this.#setup, this.every] = [setup, setup.every];
  }

  async #passes(temperature: number): Promise<Passes> {
    const { chosen, held, weights } = this.#setup;
    const { group, least = 0.5 }: SharedValues & { readonly least?: number } = chosen.values;
    const { answers, parts, reference } = await held.answers(temperature);
    const rewards = weightedSums({ terms: parts, weights });
    const given: Choosable<never> = {
      ...{ rewards, terms: parts, weights, group, reference, values: chosen.values },
      lengths: answers.map(({ ids }) => ids.length),
      truncated: answers.map((answer) => answer.truncated),
      ids: answers.map(({ ids }) => ids),
      sampled: answers.map(({ logProbs }) => logProbs),
      ...{ measured: undefined, modes: undefined, penalties: undefined, estimates: undefined },
      ...{ entropies: undefined, greedy: undefined },
    };
    return passesOf(
      Array.from(rewards, (reward) => reward >= least),
      chosen.method.choice!.rank!(given),
      group,
    );
  }

  /**
   * The temperature of the list whose answers rank best, of equals the nearest to the one so far, and what is told of
   * it and of greedy answers.
   */
  async find(now: number): Promise<{ readonly temperature: number; readonly told: Readonly<Record<string, number>> }> {
    const found: { readonly temperature: number; readonly passes: Passes }[] = [];
    for (const temperature of this.#setup.grid) found.push({ temperature, passes: await this.#passes(temperature) });
    const away = (temperature: number) => Math.abs(temperature - now);
    const [best] = found.toSorted(
      (a, b) => b.passes.ranked - a.passes.ranked || away(a.temperature) - away(b.temperature),
    ) as [(typeof found)[number]];
    const { all: greedy } = await this.#passes(0);
    return {
      temperature: best.temperature,
      told: { temperature: best.temperature, reward_pass: best.passes.ranked, pass: best.passes.all, greedy },
    };
  }
}
