/**
 * The table of formats: from the keys of a row to what reads it.
 *
 * The first list of which a row has a format decides; a row that has two formats of one list is refused. So a row of
 * `text` may hold what another format would read, and keeps it in `extra`.
 */
import { alpaca } from "./formats/alpaca.ts";
import { completion } from "./formats/completion.ts";
import { bareImage, bareVector, image, imageNumbers, vector, vectorNumbers } from "./formats/example.ts";
import { messages } from "./formats/messages.ts";
import { anchor, query, scored } from "./formats/pair.ts";
import { impliedPreference, preference } from "./formats/preference.ts";
import { prompt } from "./formats/prompt.ts";
import { questionAnswer } from "./formats/question-answer.ts";
import { sharegpt } from "./formats/sharegpt.ts";
import { text } from "./formats/text.ts";
import { tokens } from "./formats/tokens.ts";
import type { RowFormat } from "./row-format.ts";

export const ROW_FORMATS: readonly (readonly RowFormat[])[] = [
  [text, completion, messages, tokens, vector, image],
  [preference, sharegpt, alpaca, questionAnswer, query, anchor, scored],
  [impliedPreference],
  [prompt],
  [vectorNumbers, imageNumbers],
  [bareVector, bareImage],
];

/** The formats in words, for hints. */
export const ROW_FORMS =
  "text, prompt and completion, messages, conversations, instruction and output, question and answer, " +
  "prompt with chosen and rejected, query or anchor with positive, sentence1 and sentence2 with score, " +
  "input_ids (with labels or without), x and label, image and label, x and y, image and y, or text and label";

/** Keys under which a cell of a table holds JSON. */
export const STRUCTURED: ReadonlySet<string> = new Set(
  ROW_FORMATS.flat().flatMap(({ structured }) => structured ?? []),
);

/** Keys under which a cell of a table may hold a number. */
export const NUMERIC: ReadonlySet<string> = new Set(ROW_FORMATS.flat().flatMap(({ numeric }) => numeric ?? []));
