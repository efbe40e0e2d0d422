/**
 * Rows as a model that scores them reads them. Whatever can be refused of them is refused here, before a weight is
 * read.
 */
import { countedTokens, loadSequences } from "../../data/dataset.ts";
import { type Example, type ExampleReader, loadExamples } from "../../data/examples.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Row } from "../../data/rows.ts";
import { endOfTurn, type Sequence } from "../../data/sequences.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import { plainTemplate, renderedAt, templateValues } from "../../data/template.ts";
import { NAME_TOKENIZER } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import { readPreferences } from "../rewarding/preferences.ts";
import type { TextTools } from "../text-tools.ts";
import { type Alternatives, questionOf, readAlternatives } from "./alternatives.ts";
import type { ChoiceQuestion } from "./choice-question.ts";
import { encodeContinuation } from "./continuations.ts";
import type { Need } from "./scored-row.ts";

/** A prompt to be answered, and what the answer should be. */
export interface Question {
  readonly ids: readonly number[];
  readonly expected: string;
  readonly group: number;
  readonly place: string;
}

export interface TextData {
  readonly kind: "text";
  /** One a row, or one a choice. */
  readonly sequences: readonly Sequence[];
  readonly choices?: readonly ChoiceQuestion[];
  /** One a row. */
  readonly questions?: readonly Question[];
  readonly alternatives?: Alternatives;
  /** How many tokens are generated, and the texts that end them, where the rows say so. */
  readonly generation?: { readonly maxTokens: number; readonly stop: readonly string[] };
  /** What was done to rows so that they fit. */
  readonly remarks?: readonly string[];
}

export interface ExampleData {
  readonly kind: "examples";
  readonly examples: readonly Example[];
}

export type ScoringData = TextData | ExampleData;

/** What a model reads rows with. `tools` are those of a language model. */
export interface Reader {
  readonly sizes: ModelSizes;
  /** What the architecture read of config.json. */
  readonly config?: unknown;
  readonly tools: TextTools | undefined;
  /** Of a reward model: what reads prompts and answers. */
  readonly answers?: TextTools | undefined;
  /** What a classifier takes. */
  readonly examples: ExampleReader;
  /** Names the model in messages. */
  readonly ref: string;
}

/**
 * Reads groups of rows into memory. Throws UserError for the first row that the model cannot take or that lacks what is
 * needed.
 *
 *   const data = await readForScoring(groupsOf(options.data, "--data"), reader, new Set(["truth"]));
 */
export async function readForScoring(
  groups: readonly GroupReference[],
  { sizes, tools, answers, examples: reader, ref }: Reader,
  needs: ReadonlySet<Need>,
): Promise<ScoringData> {
  if (needs.has("preference")) {
    const isReward = answers !== undefined && !reader.everyToken && sizes.outputs === 1;
    if (!tools && !isReward)
      throw new UserError(
        `--metric preference is not for ${ref}, which gives an answer neither a likelihood nor a reward`,
        "it is for language models and for reward models of one label",
      );
    return { kind: "text", ...(await readPreferences(groups, (tools ?? answers)!)) };
  }
  if (!tools) {
    const examples = await loadExamples(groups, { ...reader, takesNumbers: true });
    if (needs.has("pair-score")) requireScores(examples);
    return { kind: "examples", examples };
  }
  if (needs.has("choice")) return readChoices(groups, tools);
  const { sequences } = await loadSequences(groups, tools.encode);
  if (needs.has("packed-bytes") && !tools.tokenizer)
    throw new UserError(
      `${sequences[0]!.place}: a metric needs the text of the row, and there is no tokenizer`,
      NAME_TOKENIZER,
    );
  const isAnswered = needs.has("generated") || needs.has("continued");
  const questions = isAnswered ? await readQuestions(groups, sizes, tools, sequences.length) : undefined;
  const alternatives = await readAlternatives(groups, tools.encode, needs, sequences.length);
  return { kind: "text", sequences, ...(questions && { questions }), ...(alternatives && { alternatives }) };
}

/** Throws UserError for the first pair that does not say how alike its texts are. */
function requireScores(examples: readonly Example[]): void {
  const odd = examples.find((example) => !("pair" in example && example.pair.score !== undefined));
  if (odd)
    throw new UserError(
      `${odd.place}: the row does not say how alike its texts are`,
      "rows of sentence1, sentence2 and score do: --columns sentence1=COLUMN,sentence2=COLUMN,score=COLUMN",
    );
}

/** How many rows each group has, and how many tokens (or examples) of them count. */
export function countData(data: ScoringData, groups: number): { rows: number; counted: number }[] {
  const counts = Array.from({ length: groups }, () => ({ rows: 0, counted: 0 }));
  const rows =
    data.kind === "examples"
      ? data.examples
      : (data.choices ?? (data.sequences.length > 0 ? data.sequences : (data.questions ?? [])));
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
  if (!tokenizer) throw new UserError("a metric of generated answers needs a tokenizer", NAME_TOKENIZER);
  const template = encode.template ?? plainTemplate(endOfTurn(tokenizer));
  const questions: Question[] = [];
  for (const [group, source] of groups.entries()) {
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
          : tokenizer.encode(
              renderedAt(place, () =>
                template.render(prompt, { generationPrompt: true, values: templateValues(row.extra) }),
              ),
            );
      if (maxPositions > 0 && ids.length >= maxPositions)
        throw new UserError(
          `${place}: a prompt of ${ids.length} tokens leaves no room for an answer in the model's ${maxPositions} positions`,
          "leave the row out, or shorten it",
        );
      questions.push({ ids: [...ids], expected, group, place });
    }
  }
  if (questions.length !== count)
    throw new UserError("answers are generated for whole rows, but some were split", "leave out --overflow split");
  return questions;
}

/** Rows of prompt, choices and answer: each choice is scored alone behind the prompt. */
async function readChoices(groups: readonly GroupReference[], { tokenizer, encode }: TextTools): Promise<TextData> {
  if (!tokenizer) throw new UserError("a metric of choices needs a tokenizer", NAME_TOKENIZER);
  const sequences: Sequence[] = [];
  const questions: ChoiceQuestion[] = [];
  const maxLength = encode.maxLength ?? Number.POSITIVE_INFINITY;
  const cut: string[] = [];
  for (const [group, source] of groups.entries()) {
    for await (const { row, place } of readRows(source)) {
      const { prompt, choices, answer } = choicesOf(row, place);
      const parts = choices.map((choice) => encodeContinuation(prompt, choice, { tokenizer, maxLength, group, place }));
      const isCut = parts.some((part) => part.isCut);
      if (isCut && encode.overflow === "refuse")
        throw new UserError(`${place}: prompt and choice have more than ${maxLength} tokens`, "raise --max-length");
      const isWhole = parts.every((part) => part.isWhole);
      if (isCut && isWhole) cut.push(place);
      questions.push({
        group,
        first: sequences.length,
        count: choices.length,
        answer,
        bytes: choices.map((choice) => Buffer.byteLength(choice)),
        isWhole,
      });
      sequences.push(...parts.map(({ sequence }) => sequence));
    }
  }
  return { kind: "text", sequences, choices: questions, remarks: cutRemarks(cut, maxLength) };
}

/** What to say of prompts that lost their beginning. */
export const cutRemarks = (places: readonly string[], maxLength: number): string[] =>
  places.length === 0
    ? []
    : [
        `prompts that are too long for ${maxLength} tokens with the answer lose their beginning: ${places.length}, the first is ${places[0]}`,
      ];

/** Throws UserError for a row without a prompt, texts to choose from, or the place of the right one. */
function choicesOf(row: Row, place: string): { prompt: string; choices: string[]; answer: number } {
  const { choices, answer } = row.extra;
  const asks = row.form === "prompt" || row.form === "completion";
  const prompt = row.form === "text" ? row.text : asks ? row.prompt : undefined;
  const isText = (choice: unknown) => typeof choice === "string" && choice !== "";
  if (
    prompt === undefined ||
    !Array.isArray(choices) ||
    !choices.every(isText) ||
    typeof answer !== "number" ||
    choices[answer] === undefined
  )
    throw new UserError(
      `${place}: the row needs prompt, choices (a list of texts) and answer (the place of the right one, from 0)`,
    );
  return { prompt, choices: choices as string[], answer };
}
