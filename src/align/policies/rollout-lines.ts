/** The lines of a rollout in the file of all answers. */
import type { Effort } from "../verifying/contract.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import { writtenRow } from "../verifying/written-row.ts";
import type { Advantages } from "./contract.ts";
import type { DrawnPrompt, RolloutLine } from "./held-rollout.ts";
import type { PolicyPrompt } from "./prompts.ts";
import type { Group } from "./rollout-told.ts";

/** Tokens that an effort allows, as JSON. */
const allowed = ({ most }: Effort): number | null => (Number.isFinite(most) ? most : null);

/** A line for every answer of all groups. */
export function linesOf(given: {
  readonly number: number;
  readonly all: readonly Group[];
  /** Groups that are trained on, whose answers have advantages in their order. */
  readonly kept: readonly Group[];
  readonly advantages: Advantages;
  readonly terms: readonly RewardTerm[];
  readonly asked: (drawn: DrawnPrompt) => PolicyPrompt;
  /** Whether an answer is trained on, by its place among those of groups that are kept. */
  readonly isUsed: (place: number) => boolean;
}): RolloutLine[] {
  const { number, all, kept, advantages, terms, asked, isUsed } = given;
  const lines: RolloutLine[] = [];
  const before = new Map<Group, number>();
  let answersBefore = 0;
  for (const group of kept) {
    before.set(group, answersBefore);
    answersBefore += group.answers.length;
  }
  for (const group of all) {
    const { drawn, answers, rewards, parts, effort, greedy } = group;
    const prompt = asked(drawn);
    const from = before.get(group);
    for (const [i, { text, ids, truncated, logProbs }] of answers.entries()) {
      const credit = from === undefined ? 0 : advantages[from + i]!;
      lines.push({
        rollout: number,
        place: prompt.place,
        prompt: prompt.text,
        answer: text,
        tokens: ids.length,
        truncated,
        reward: rewards[i]!,
        rewards: Object.fromEntries(terms.map(({ name }, k) => [name, parts[i]![k]!])),
        advantage: typeof credit === "number" ? credit : [...credit],
        log_prob: logProbs.reduce((a, b) => a + b, 0),
        used: from !== undefined && isUsed(from + i),
        row: writtenRow(prompt.row),
        ...(effort && { effort: effort.share, effort_tokens: allowed(effort) }),
        ...(greedy === undefined ? {} : { greedy_reward: greedy }),
      });
    }
  }
  return lines;
}
