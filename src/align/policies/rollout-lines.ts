/** A rollout as lines of the file of all answers. */

import { writtenRow } from "../../data/written-row.ts";
import type { Effort } from "../verifying/contract.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import type { Advantages } from "./contract.ts";
import type { DrawnPrompt, RolloutLine } from "./held-rollout.ts";
import type { PolicyPrompt } from "./prompts.ts";
import type { Group } from "./rollout-told.ts";

/** Tokens that an effort allows, as JSON. */
const allowed = ({ most }: Effort): number | null => (Number.isFinite(most) ? most : null);

/** Every answer of all groups; those of groups that are not kept have no advantage. */
export function linesOf(given: {
  readonly number: number;
  readonly all: readonly Group[];
  readonly kept: readonly Group[];
  readonly terms: readonly RewardTerm[];
  /** Of the answers of groups that are kept. */
  readonly advantages: Advantages;
  /** Whether the answer at a place among them is trained on. */
  isUsed(place: number): boolean;
  /** A prompt as the model reads it. */
  asked(drawn: DrawnPrompt): PolicyPrompt;
}): RolloutLine[] {
  const { number, all, kept, terms, advantages } = given;
  const lines: RolloutLine[] = [];
  for (const { drawn, answers, rewards, parts, ...own } of all) {
    const asked = given.asked(drawn);
    const limit = own.effort && { effort: own.effort.share, effort_tokens: allowed(own.effort) };
    const place = kept.findIndex((other) => other.answers === answers);
    for (const [i, { text, ids, truncated, logProbs }] of answers.entries()) {
      const at = place * answers.length + i;
      const credit = place < 0 ? 0 : advantages[at]!;
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
        used: place >= 0 && given.isUsed(at),
        row: writtenRow(asked.row),
        ...limit,
        ...(own.greedy === undefined ? {} : { greedy_reward: own.greedy }),
      });
    }
  }
  return lines;
}
