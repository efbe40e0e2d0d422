/** Rows with the lines that they are written back as: whatever their columns are called, and with all of their keys. */
import { isObject, type Json } from "../json.ts";
import { parseColumns, Renaming } from "./columns.ts";
import { parseRow } from "./parse-row.ts";
import { readValues } from "./read-rows.ts";
import type { LocatedRow } from "./rows.ts";

export interface NamedValue extends LocatedRow {
  /** The row as it was written, a line of JSON. */
  readonly line: string;
}

/** Reads the rows of a file one at a time; `columns` is what --columns says. Throws UserError as reading rows does. */
export async function* namedValues(file: string, columns: string | undefined): AsyncGenerator<NamedValue> {
  const named = columns === undefined ? undefined : parseColumns(columns);
  const renaming = named && new Renaming(named);
  for await (const { value, place } of readValues(file)) {
    const read: Json = renaming && isObject(value) ? renaming.row(value) : value;
    yield { row: parseRow(read, place, named), place, line: `${JSON.stringify(value)}\n` };
  }
  renaming?.check(file);
}
