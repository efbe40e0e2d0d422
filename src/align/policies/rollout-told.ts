/** What is told of a rollout. */
import type { Rollout } from "../../run/generating/rollouts.ts";
import type { Effort } from "../verifying/contract.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import { deviationOf, differs, meanOf } from "./advantages.ts";
import type { Advantages } from "./contract.ts";
import type { DrawnPrompt, HeldAnswer } from "./held-rollout.ts";

/** A group of answers to one prompt. */
export interface Group {
  readonly drawn: DrawnPrompt;
  readonly answers: readonly Rollout[];
  readonly rewards: Float64Array;
  readonly parts: readonly (readonly (number | null)[])[];
  /** Reward of the most likely answer, where the method asks for it. */
  readonly greedy: number | undefined;
  readonly effort: Effort | undefined;
}

/** Means over a rollout. Rewards are those of all answers, those of groups that are left out, too. */
export function toldOf(given: {
  readonly all: readonly Group[];
  readonly kept: readonly Group[];
  readonly terms: readonly RewardTerm[];
  /** Answers of the groups that are kept. */
  readonly held: readonly HeldAnswer[];
  readonly advantages: Advantages;
  /** Whether groups are left out. */
  readonly dynamic: boolean;
}): Record<string, number> {
  const { all, kept, terms, held, advantages, dynamic } = given;
  const rewards = all.flatMap((group) => [...group.rewards]);
  const answers = all.flatMap((group) => group.answers);
  const parts = all.flatMap((group) => group.parts);
  const byTerm = terms.map(({ name }, k): [string, number] => {
    const scored = parts.map((row) => row[k]!).filter((value) => value !== null);
    return [`reward.${name.replaceAll("-", "_")}`, meanOf(scored)];
  });
  const sampled = kept.flatMap((group) => group.answers);
  const gaps = held.flatMap(({ old }, i) => old?.map((p, t) => Math.abs(p - sampled[i]!.logProbs[t]!)) ?? []);
  const credits = advantages.flatMap((own) => (typeof own === "number" ? [own] : [...own]));
  return {
    reward: meanOf(rewards),
    reward_std: deviationOf(rewards),
    ...(byTerm.length > 1 ? Object.fromEntries(byTerm) : {}),
    differing_groups: meanOf(all.map((group) => (differs(group.rewards) ? 1 : 0))),
    ...(dynamic ? { kept_groups: kept.length, drawn_groups: all.length } : {}),
    advantage: meanOf(credits.map(Math.abs)),
    length: meanOf(answers.map(({ ids }) => ids.length)),
    truncated: meanOf(answers.map((answer) => (answer.truncated ? 1 : 0))),
    ...(gaps.length > 0 ? { sampling_gap: meanOf(gaps) } : {}),
  };
}
