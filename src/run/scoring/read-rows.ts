/**
 * Rows as a model that scores them reads them. Whatever can be refused of them is refused here, before a weight is
 * read.
 */
import { checkLabels, countedTokens, type Example, loadExamples, loadSequences } from "../../data/dataset.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import { encodeRow, endOfTurn, type Sequence } from "../../data/sequences.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import { plainTemplate, templateValues } from "../../data/template.ts";
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { TextTools } from "../text-tools.ts";
import { type Alternatives, questionOf, readAlternatives } from "./alternatives.ts";
import type { Need } from "./scored-row.ts";

/** A prompt to be answered, and what the answer should be. */
export interface Question {
  readonly ids: readonly number[];
  readonly expected: string;
}

/** A row of several choices: `count` sequences from the `first` on, and the place of the right one among them. */
export interface ChoiceQuestion {
  readonly group: number;
  readonly first: number;
  readonly count: number;
  readonly answer: number;
}

export interface TextData {
  readonly kind: "text";
  /** One a row, or one a choice. */
  readonly sequences: readonly Sequence[];
  readonly choices?: readonly ChoiceQuestion[];
  /** One a row. */
  readonly questions?: readonly Question[];
  readonly alternatives?: Alternatives;
}

export interface ExampleData {
  readonly kind: "examples";
  readonly examples: readonly Example[];
}

export type ScoringData = TextData | ExampleData;

/** What a model reads rows with. `tools` are those of a language model. */
export interface Reader {
  readonly sizes: ModelSizes;
  readonly tools: TextTools | undefined;
}

/**
 * Reads groups of rows into memory. Throws UserError for the first row that the model cannot take or that lacks what is
 * needed.
 *
 *   const data = await readForScoring(groupsOf(options.data, "--data"), { sizes, tools }, new Set(["truth"]));
 */
export async function readForScoring(
  groups: readonly GroupReference[],
  { sizes, tools }: Reader,
  needs: ReadonlySet<Need>,
): Promise<ScoringData> {
  if (!tools) {
    const examples = await loadExamples(groups);
    checkLabels(examples, sizes.outputs, sizes.example);
    return { kind: "examples", examples };
  }
  if (needs.has("choice")) return readChoices(groups, tools);
  const { sequences } = await loadSequences(groups, tools.encode);
  if (needs.has("packed-bytes") && !tools.tokenizer)
    throw new UserError(
      `${sequences[0]!.place}: a metric needs the text of the row, and there is no tokenizer`,
      "give --tokenizer",
    );
  const isAnswered = needs.has("generated") || needs.has("continued");
  const questions = isAnswered ? await readQuestions(groups, sizes, tools, sequences.length) : undefined;
  const alternatives = await readAlternatives(groups, tools.encode, needs, sequences.length);
  return { kind: "text", sequences, ...(questions && { questions }), ...(alternatives && { alternatives }) };
}

/** How many rows each group has, and how many tokens (or examples) of them count. */
export function countData(data: ScoringData, groups: number): { rows: number; counted: number }[] {
  const counts = Array.from({ length: groups }, () => ({ rows: 0, counted: 0 }));
  const rows = data.kind === "examples" ? data.examples : (data.choices ?? data.sequences);
  for (const { group } of rows) counts[group]!.rows++;
  if (data.kind === "examples") for (const { group } of data.examples) counts[group]!.counted++;
  else for (const sequence of data.sequences) counts[sequence.group]!.counted += countedTokens(sequence);
  return counts;
}

/** The prompts of rows that a model is to answer. `count` is how many sequences the rows made. */
async function readQuestions(
  groups: readonly GroupReference[],
  { maxPositions }: ModelSizes,
  { tokenizer, encode }: TextTools,
  count: number,
): Promise<Question[]> {
  if (!tokenizer) throw new UserError("a metric of generated answers needs a tokenizer", "give --tokenizer");
  const template = encode.template ?? plainTemplate(endOfTurn(tokenizer));
  const questions: Question[] = [];
  for (const source of groups) {
    for await (const { row, place } of readRows(source)) {
      const question = questionOf(row);
      if (!question)
        throw new UserError(
          `${place}: a metric of generated answers needs prompt and completion, found a row of ${row.form}`,
        );
      const { prompt, expected } = question;
      const ids =
        typeof prompt === "string"
          ? encodePrompt(tokenizer, prompt)
          : tokenizer.encode(template.render(prompt, { generationPrompt: true, values: templateValues(row.extra) }));
      if (maxPositions > 0 && ids.length >= maxPositions)
        throw new UserError(
          `${place}: a prompt of ${ids.length} tokens leaves no room for an answer in the model's ${maxPositions} positions`,
          "leave the row out, or shorten it",
        );
      questions.push({ ids: [...ids], expected });
    }
  }
  if (questions.length !== count)
    throw new UserError("answers are generated for whole rows, but some were split", "leave out --overflow split");
  return questions;
}

/** Rows of prompt, choices and answer: each choice is a completion of the prompt. */
async function readChoices(groups: readonly GroupReference[], tools: TextTools): Promise<TextData> {
  const sequences: Sequence[] = [];
  const questions: ChoiceQuestion[] = [];
  for (const [group, source] of groups.entries()) {
    for await (const { row, place } of readRows(source)) {
      const { choices, answer } = row.extra;
      const valid = row.form === "completion" || row.form === "prompt" || row.form === "text";
      if (
        !valid ||
        !Array.isArray(choices) ||
        !choices.every((c) => typeof c === "string") ||
        !Number.isInteger(answer) ||
        !(choices as string[])[answer as number]
      )
        throw new UserError(
          `${place}: the row needs prompt, choices (a list of texts) and answer (the place of the right one, from 0)`,
        );
      const prompt = row.form === "text" ? row.text : row.prompt;
      questions.push({ group, first: sequences.length, count: choices.length, answer: answer as number });
      for (const completion of choices as string[]) {
        const chosen = { form: "completion", prompt, completion, extra: row.extra } as const;
        const pieces = encodeRow({ row: chosen, place }, { ...tools.encode, group });
        if (pieces.length > 1)
          throw new UserError(
            `${place}: choices are scored as whole rows, and this one is split`,
            "leave out --overflow split",
          );
        sequences.push(...pieces);
      }
    }
  }
  return { kind: "text", sequences, choices: questions };
}
