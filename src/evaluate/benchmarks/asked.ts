/** Rows of benchmarks as prompts and completions in the words that their authors ask them in. */

import type { Row } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { questionOf } from "../../run/scoring/alternatives.ts";

/** What a row asks, as text, and the answer. Throws UserError for rows that ask nothing. */
export function asText(row: Row): { readonly question: string; readonly answer: string } {
  const found = questionOf(row);
  if (!found) throw new UserError(`a row of ${row.form} asks nothing`, "rows need a question and an answer");
  const { prompt, expected } = found;
  const question = typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("\n");
  return { question, answer: expected };
}

/** A turn of rows with question and answer into a prompt and what follows it, one space apart. */
export const questioned = (name: string, prompt: (question: string, row: Row) => string) => ({
  name,
  turn(row: Row): Row {
    const { question, answer } = asText(row);
    return { form: "completion", prompt: prompt(question, row), completion: ` ${answer.trim()}`, extra: row.extra };
  },
});
