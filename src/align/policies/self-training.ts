/** Training on answers of one's own: which of them are worth it, and their cross-entropy. */
import type { Options, Values } from "../../method/options.ts";
import { mul, neg } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { groupsIn, meanOf } from "./advantages.ts";
import {
  type Choice,
  type Choosable,
  EVERY_POLICY_LAW,
  type Rewarded,
  type SharedValues,
  type TokenTerms,
} from "./contract.ts";

export const SELF_TRAINING = {
  top: { type: "number.integer >= 1", help: "most answers to a prompt that are trained on", value: "K" },
  least: { type: "number", help: "answers with a smaller reward are left out; none when left out", value: "R" },
} as const satisfies Options;

export type ChoiceValues = SharedValues & Values<typeof SELF_TRAINING>;

/** What answers to one prompt are ranked by, the largest first; the reward when left out. */
export type Rank<V extends SharedValues> = (given: Choosable<V>) => Float64Array;

/**
 * Places of the best answers of each group: of those whose reward is --least or more the --top largest ranks, then
 * rewards, then the first. Of answers with the same tokens the highest one alone is taken.
 */
export function bestOf<V extends ChoiceValues>(given: Choosable<V>, rank?: Rank<V>): number[][] {
  const { rewards, ids, group, values } = given;
  const ranks = groupsIn(rank?.(given) ?? rewards, group);
  return groupsIn(rewards, group).map((own, g) => {
    const texts = ids.slice(g * group, (g + 1) * group).map(String);
    const rank = ranks[g]!;
    return [...own.keys()]
      .filter((i) => own[i]! >= (values.least ?? Number.NEGATIVE_INFINITY))
      .sort((a, b) => rank[b]! - rank[a]! || own[b]! - own[a]! || a - b)
      .filter((i, at, all) => all.findIndex((other) => texts[other] === texts[i]) === at)
      .slice(0, values.top ?? group);
  });
}

/** Mean log-probability of the tokens of every answer. */
export const meanLogProbs = (all: readonly ArrayLike<number>[]): Float64Array => Float64Array.from(all, meanOf);

const ALIKE = "answers that are left out are no part of a batch, and all others count alike";

/** What is alike in all methods that train on the best of their own answers as if they were data. */
export const SELF_TRAINED = {
  laws: {
    ...EVERY_POLICY_LAW,
    clipped: "nothing is clipped",
    zeroSum: ALIKE,
    equalRewards: ALIKE,
    shiftFree: ALIKE,
  },
  untempered: true,
  advantages: ({ rewards }: Rewarded<never>) => Array.from(rewards, () => 1),
  tokens: (rec: Recorder, { logProbs, advantages }: TokenTerms<never>) => neg(rec, mul(rec, logProbs, advantages)),
} as const;

/** The choice of the best answers. */
export const choiceOf = <V extends ChoiceValues>(rank?: Rank<V>): Choice<V> => ({
  most: ({ top, group }) => Math.min(top ?? group, group),
  of: (given) => bestOf(given, rank),
});
