/** What a row says the right answer is. */
import type { Row } from "../../data/rows.ts";
import type { Answered } from "./contract.ts";

/** A value of a row as a text; undefined of what is none. */
const textOf = (value: unknown): string | undefined =>
  typeof value === "string"
    ? value
    : typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : undefined;

/** What the row would have the model say: its completion, or the last turn of the assistant. */
function completionOf(row: Row): string | undefined {
  if (row.form === "completion") return row.completion;
  if (row.form !== "messages") return undefined;
  const { messages, countsFrom = 0 } = row;
  return messages.slice(countsFrom).findLast(({ role }) => role === "assistant")?.content;
}

/**
 * The right answers of a row, trimmed: its key `answer`, then its completion. With `key` the value of that key alone.
 * Empty where the row has none.
 */
export function truthsOf({ row }: Pick<Answered, "row">, key?: string): string[] {
  const found = key === undefined ? [textOf(row.extra.answer), completionOf(row)] : [valueAt(row, key)];
  return found.filter((text) => text !== undefined).map((text) => text.trim());
}

const valueAt = (row: Row, key: string): string | undefined =>
  Object.hasOwn(row.extra, key) ? textOf(row.extra[key]) : key === "completion" ? completionOf(row) : undefined;

/** What stands behind the last marker; the whole text where no marker is asked for, undefined where it is not there. */
export function behind(text: string, marker: string | undefined): string | undefined {
  if (marker === undefined) return text;
  const at = text.lastIndexOf(marker);
  return at < 0 ? undefined : text.slice(at + marker.length);
}
