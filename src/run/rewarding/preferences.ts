/**
 * Rows of preferences as rows of two choices of which the first is right: a language model says how likely each answer
 * is, a reward model what it is worth.
 */
import { encodeAnswer } from "../../data/answered.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import { NAME_TOKENIZER } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { ChoiceQuestion } from "../scoring/choice-question.ts";
import type { ScoreOptions } from "../scoring/score-rows.ts";
import type { ScoredRow } from "../scoring/scored-row.ts";
import type { TextTools } from "../text-tools.ts";
import { headLogits } from "./sequence-rewards.ts";

/** Both answers of every row, one after the other. */
export interface Preferences {
  readonly sequences: readonly Sequence[];
  readonly choices: readonly ChoiceQuestion[];
}

/** Reads both answers of every row. Throws UserError for a row of another form. */
export async function readPreferences(groups: readonly GroupReference[], tools: TextTools): Promise<Preferences> {
  const { tokenizer, encode } = tools;
  if (!tokenizer) throw new UserError("a metric of preferences needs a tokenizer", NAME_TOKENIZER);
  const sequences: Sequence[] = [];
  const choices: ChoiceQuestion[] = [];
  for (const [group, source] of groups.entries()) {
    for await (const { row, place } of readRows(source)) {
      if (row.form !== "preference")
        throw new UserError(
          `${place}: a metric of preferences needs prompt, chosen and rejected, found a row of ${row.form}`,
          "columns of other names are read so: --columns chosen=better,rejected=worse",
        );
      const { prompt, chosen, rejected, extra } = row;
      const own = [chosen, rejected].map((answer) =>
        encodeAnswer(
          { prompt, answer, extra, place },
          { ...encode, group, overflow: encode.overflow === "refuse" ? "refuse" : "truncate" },
        ),
      );
      choices.push({
        ...{ group, first: sequences.length, count: 2, answer: 0 },
        bytes: [chosen, rejected].map((said) =>
          Buffer.byteLength(typeof said === "string" ? said : JSON.stringify(said)),
        ),
        isWhole: own.every(({ isCut }) => !isCut),
      });
      sequences.push(...own);
    }
  }
  return { sequences, choices };
}

/** Rows with what another model says of their choices, where both read them whole. */
export const withReference = (rows: readonly ScoredRow[], reference: readonly ScoredRow[]): ScoredRow[] =>
  rows.map((row, i) => {
    const other = reference[i]?.choice;
    return row.choice && other ? { ...row, choice: { ...row.choice, reference: other.losses } } : row;
  });

/** Scores a reward model on pairs: the loss of an answer is its reward with the other sign. */
export async function scorePreferences(
  model: Model,
  { sequences, choices = [] }: Pick<Preferences, "sequences"> & Partial<Preferences>,
  tools: TextTools,
  { ref, rows, signal, done, visit }: ScoreOptions,
): Promise<ScoredRow[]> {
  if (visit)
    throw new UserError("--dump writes what a model predicts, and a reward model predicts nothing", "leave it out");
  const logits = await headLogits(model, sequences, { ref, rows, pad: tools.tokenizer?.pad ?? 0, signal, done });
  return choices.map(({ group, first, bytes, isWhole }) => {
    const row: ScoredRow = {
      group,
      targets: new Int32Array(),
      nll: new Float32Array(),
      argmax: new Uint32Array(),
      confidence: new Float32Array(),
    };
    const losses = [first, first + 1].map((i) => -logits[i]![0]!);
    if (!isWhole) return row;
    return { ...row, choice: { losses, tokens: [1, 1], bytes, isGreedy: [false, false], expected: 0 } };
  });
}
