/**
 * Probabilities of answers: geometric means over their tokens, averaged over rows. TOFU,
 * https://arxiv.org/abs/2401.06121
 */
import { meanLoss } from "../../run/scoring/mean-loss.ts";
import { type AnswerLosses, type ScoredRow, tokens } from "../../run/scoring/scored-row.ts";
import { mean } from "./means.ts";

/** Mean over rows of the right answer's probability; rows of which no token counts are left out. */
export const probability = (rows: readonly ScoredRow[]): number =>
  mean(rows.filter((row) => tokens(row) > 0).map((row) => Math.exp(-meanLoss(row))));

/**
 * The same of the right answer in other words, where rows have it: the mean of the probabilities of a row's
 * paraphrases, as OpenUnlearning has it, or the exponential of their mean loss.
 */
export const paraphrasedProbability = (rows: readonly ScoredRow[], of: "probabilities" | "losses" = "probabilities") =>
  mean(
    rows.flatMap(({ paraphrases }) => {
      if (!paraphrases) return [];
      return of === "losses" ? Math.exp(-mean(paraphrases)) : mean(paraphrases.map((loss) => Math.exp(-loss)));
    }),
  );

/** Probability of the right option divided by the sum over all options. */
export function rightShare({ right, wrong }: AnswerLosses): number {
  const own = Math.exp(-mean(right));
  return own / (own + wrong.reduce((sum, loss) => sum + Math.exp(-loss), 0) + 1e-10);
}

/** Mean over the rows that have options of the right one's share. */
export const normalisedProbability = (rows: readonly ScoredRow[]): number =>
  mean(rows.flatMap(({ options }) => (options ? rightShare(options) : [])));
