/** What is told of a rollout: numbers for the log, and a line for each answer. */
import type { Rollout } from "../../run/generating/rollouts.ts";
import type { Effort } from "../verifying/contract.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import { writtenRow } from "../verifying/written-row.ts";
import { deviationOf, differs, meanOf } from "./advantages.ts";
import type { Advantages, SharedValues } from "./contract.ts";
import type { DrawnPrompt, HeldAnswer, RolloutLine } from "./held-rollout.ts";
import type { PolicyPrompt } from "./prompts.ts";

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

interface Report {
  readonly all: readonly Group[];
  /** Those that are trained on. */
  readonly kept: readonly Group[];
  readonly held: readonly HeldAnswer[];
  readonly advantages: Advantages;
  readonly terms: readonly RewardTerm[];
  readonly values: SharedValues;
  /** A prompt as the model reads it. */
  readonly asked: (drawn: DrawnPrompt) => PolicyPrompt;
}

/** Tokens that an effort allows, as JSON. */
const allowed = ({ most }: Effort): number | null => (Number.isFinite(most) ? most : null);

/** What a rollout was like. Rewards are those of all answers, those of groups that are left out, too. */
export function toldOf({ all, kept, held, advantages, terms, values }: Report): Record<string, number> {
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
    ...(values.dynamic_sampling ? { kept_groups: kept.length, drawn_groups: all.length } : {}),
    advantage: meanOf(credits.map(Math.abs)),
    length: meanOf(answers.map(({ ids }) => ids.length)),
    truncated: meanOf(answers.map((answer) => (answer.truncated ? 1 : 0))),
    ...(gaps.length > 0 ? { sampling_gap: meanOf(gaps) } : {}),
  };
}

/** The lines of the file of all answers. */
export function linesOf(number: number, report: Report): RolloutLine[] {
  const { all, kept, advantages, terms } = report;
  const { group } = report.values;
  const lines: RolloutLine[] = [];
  for (const { drawn, answers, rewards, parts, ...own } of all) {
    const asked = report.asked(drawn);
    const limit = own.effort && { effort: own.effort.share, effort_tokens: allowed(own.effort) };
    const place = kept.findIndex((other) => other.answers === answers);
    for (const [i, { text, ids, truncated, logProbs }] of answers.entries()) {
      const credit = place < 0 ? 0 : advantages[place * group + i]!;
      lines.push({
        rollout: number,
        place: asked.place,
        prompt: asked.text,
        answer: text,
        tokens: ids.length,
        truncated,
        reward: rewards[i]!,
        rewards: Object.fromEntries(terms.map(({ name }, k) => [name, parts[i]![k]!])),
        advantage: typeof credit === "number" ? credit : [...credit],
        log_prob: logProbs.reduce((a, b) => a + b, 0),
        used: place >= 0,
        row: writtenRow(asked.row),
        ...limit,
        ...(own.greedy === undefined ? {} : { greedy_reward: own.greedy }),
      });
    }
  }
  return lines;
}
