/**
 * Marks of tokens, whole numbers from 1 on, that a row brings under `token_marks`; what has none has 0. Of rows of
 * `input_ids` a list of one number a token; of text [from, to, mark] for stretches of characters of the text, or of
 * prompt and completion together. A token has the mark of the first of its characters that has one.
 */
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import type { LocatedRow } from "./rows.ts";
import type { Tokenizer } from "./tokenizer.ts";

type Stretch = [from: number, to: number, mark: number];

const isCount = (value: Json | undefined): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isStretch = (value: Json): value is Stretch =>
  Array.isArray(value) && value.length === 3 && value.every(isCount) && (value[0] as number) < (value[1] as number);

/** The marks of a row's tokens; undefined where it brings none. Throws UserError that begins with the row's place. */
export function tokenMarks(
  { row, place }: LocatedRow,
  ids: Int32Array,
  tokenizer: Tokenizer | undefined,
): Int32Array | undefined {
  const given = row.extra.token_marks;
  if (given === undefined) return undefined;
  if (row.form === "tokens") {
    if (Array.isArray(given) && given.length === ids.length && given.every(isCount)) return Int32Array.from(given);
    throw new UserError(
      `${place}: token_marks of input_ids should be a list of ${ids.length} whole numbers`,
      "one for each token; 0 for none",
    );
  }
  const text = row.form === "text" ? row.text : row.form === "completion" ? row.prompt + row.completion : undefined;
  if (text === undefined || !tokenizer)
    throw new UserError(
      `${place}: token_marks are for rows of text, of prompt and completion, or of input_ids`,
      "leave them out of other rows",
    );
  if (!Array.isArray(given) || !given.every(isStretch))
    throw new UserError(
      `${place}: token_marks of a text should be a list of [from, to, mark]`,
      "as in [[0, 5, 1], [6, 9, 2]]: characters from 0, up to and without the 5th, have the mark 1",
    );
  return marksOfText(given, text, ids, { place, tokenizer });
}

function marksOfText(
  stretches: readonly Stretch[],
  text: string,
  ids: Int32Array,
  { place, tokenizer }: { readonly place: string; readonly tokenizer: Tokenizer },
): Int32Array {
  const markAt = (from: number, to: number): number =>
    stretches.filter(([start, end]) => start < to && from < end).toSorted(([a], [b]) => a - b)[0]?.[2] ?? 0;
  const marks = new Int32Array(ids.length);
  const decoder = tokenizer.decoder();
  let from = 0;
  for (const [i, id] of ids.entries()) {
    const piece = decoder.push(id);
    // What is put around a text, such as its end, is none of it.
    if (!text.startsWith(piece, from)) continue;
    marks[i] = markAt(from, from + Math.max(1, piece.length));
    from += piece.length;
  }
  if (from === text.length) return marks;
  throw new UserError(
    `${place}: its tokens do not spell its text, so that no character can be marked`,
    "give input_ids and a mark for each",
  );
}
