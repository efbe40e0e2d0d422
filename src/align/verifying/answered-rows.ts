/**
 * Answers from files: {"prompt": "2+2=", "answer": "4", "row": {...}}, as commands that verify read them, with the row
 * beside the answer or in the same object.
 *
 *   {"prompt": "2+2=", "answer": "5", "tokens": 2, "row": {"completion": "4", ...}, "place": "rows.jsonl:1"}
 *   {"prompt": "2+2=", "answer": "5", "completion": "4"}
 */
import { parseRow } from "../../data/parse-row.ts";
import { type ReadOptions, readValues } from "../../data/read-rows.ts";
import { kindOf } from "../../data/row-fields.ts";
import type { Row } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json, show } from "../../json.ts";
import type { Answered } from "./contract.ts";

/** The answers of a file or of stdin ("-"); `key` is that of what the model says. Throws UserError by the line. */
export async function* readAnswers(file: string, key: string, options?: ReadOptions): AsyncGenerator<Answered> {
  for await (const { value, place } of readValues(file, options)) yield answeredIn(value, key, place);
}

function answeredIn(value: Json, key: string, at: string): Answered {
  if (!isObject(value))
    throw new UserError(
      `${at}: expected an object, found ${kindOf(value)}`,
      'a line holds {"prompt": "...", "answer": "..."}',
    );
  const { [key]: answer, row: given, tokens, truncated = false, place = at, index: _, ...beside } = value;
  if (typeof answer !== "string")
    throw new UserError(
      `${at}: ${show(key)} should be the text of the answer, found ${kindOf(answer)}`,
      "--field names the key that has what the model says",
    );
  if (tokens !== undefined && !(typeof tokens === "number" && Number.isInteger(tokens) && tokens >= 0))
    throw new UserError(`${at}: tokens should be a count, found ${kindOf(tokens)}`);
  if (typeof truncated !== "boolean")
    throw new UserError(`${at}: truncated should be true or false, found ${kindOf(truncated)}`);
  if (typeof place !== "string") throw new UserError(`${at}: place should be a text, found ${kindOf(place)}`);
  const row = parseRow(given ?? beside, at);
  return {
    prompt: promptOf(row, value.prompt),
    answer,
    truncated,
    row,
    place,
    tokens: tokens as number | undefined,
  };
}

/** The prompt as a text: as it stands, or what was said last before the answer. */
function promptOf(row: Row, given: Json | undefined): string {
  if (typeof given === "string") return given;
  if (row.form === "completion" || row.form === "prompt") return row.prompt;
  return row.form === "messages" ? (row.messages.findLast(({ role }) => role === "user")?.content ?? "") : "";
}
