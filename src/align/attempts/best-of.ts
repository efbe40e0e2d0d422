/**
 * The best of n answers to each prompt. Choosing draws from a policy that is near the model's own: KL <= ln n -
 * (n-1)/n, equal where no two answers are worth the same. Stiennon et al. 2020, https://arxiv.org/abs/2009.01325; the
 * bound: Beirami et al. 2024, https://arxiv.org/abs/2401.01879
 */
import { type Answer, answeredRow } from "../../data/answered.ts";
import type { Row } from "../../data/rows.ts";
import { writtenRow } from "../../data/written-row.ts";
import { UserError } from "../../errors.ts";
import type { Attempt } from "./attempts.ts";
import type { Task } from "./tasks.ts";

/** Nats between the best of n and the model itself; an upper bound where rewards tie. */
export const divergenceOf = (n: number): number => Math.log(n) - (n - 1) / n;

/** Places of the largest rewards, the largest first; of equals the first. */
export const ranked = (rewards: readonly number[]): number[] =>
  [...rewards.keys()].sort((a, b) => rewards[b]! - rewards[a]! || a - b);

/** The mean over all choices of `n` of the rewards of the largest one, of every n from 1 to their number. */
export function expectedBest(rewards: readonly number[]): number[] {
  const sorted = [...rewards].sort((a, b) => a - b);
  const all = sorted.length;
  return sorted.map((_, i) => {
    const n = i + 1;
    // The share of choices whose largest is the one at `place`: C(place, n - 1) / C(all, n), from the last one down.
    let share = n / all;
    let mean = 0;
    for (let place = all - 1; place >= n - 1; place--) {
      mean += share * sorted[place]!;
      share *= (place - n + 1) / Math.max(1, place);
    }
    return mean;
  });
}

/** What stands before the answer. Throws UserError for tokens without a text. */
export function promptOf({ row, place }: { readonly row: Row; readonly place: string }): Answer["prompt"] {
  switch (row.form) {
    case "completion":
    case "prompt":
    case "preference":
      return row.prompt;
    case "text":
      return row.text;
    case "messages":
      return row.messages.at(-1)?.role === "assistant" ? row.messages.slice(0, -1) : row.messages;
    default:
      throw new UserError(
        `${place}: a row of ${row.form} has no prompt that could be written with an answer`,
        "rows have prompt, text or messages",
      );
  }
}

/** The `top` best answers of a task as rows to train on, the best first, with what they and all answers are worth. */
export function bestRows(task: Task, attempts: readonly Attempt[], top: number): Record<string, unknown>[] {
  const rewards = attempts.map(({ reward }) => reward);
  const mean_reward = rewards.reduce((a, b) => a + b, 0) / rewards.length;
  return ranked(rewards)
    .slice(0, top)
    .map((place) => {
      const { text, reward } = attempts[place]!;
      const extra = { ...task.row.extra, reward, mean_reward };
      return writtenRow(answeredRow({ prompt: promptOf(task), answer: text, extra }));
    });
}
