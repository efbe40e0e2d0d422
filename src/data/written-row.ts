/** A row as JSON again, so that commands and later runs read what the data set holds. */
import type { Row } from "./rows.ts";

/** The keys of a row under the names that are read as its form, with all others. */
export function writtenRow(row: Row): Record<string, unknown> {
  const { extra, form: _, ...content } = row;
  if (row.form === "tokens") return { ...extra, input_ids: [...row.inputIds] };
  if (row.form !== "messages") return { ...content, ...extra };
  const { messages, countsFrom } = row;
  const said = messages.map(({ role, content: text, fields }) => ({ role, content: text, ...fields }));
  if (countsFrom === undefined) return { messages: said, ...extra };
  const completion = said.slice(countsFrom);
  return { prompt: said.slice(0, countsFrom), ...(completion.length > 0 ? { completion } : {}), ...extra };
}
