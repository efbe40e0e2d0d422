/** What a format of rows is: one way in which people write them. `formats/` has one file per format. */
import type { JsonObject } from "../json.ts";
import type { Content } from "./rows.ts";

export interface RowFormat {
  /** Keys that make up the format: a row has it when it has them all. A key whose value is null is not there. */
  readonly needs: readonly string[];
  /** Further keys that it reads. All others stay in the row's `extra`. */
  readonly optional?: readonly string[];
  /** The same of keys that are numbered. */
  readonly numbered?: RegExp;
  /** Keys whose values are lists or numbers: a cell of a table holds JSON under them, and plain text elsewhere. */
  readonly structured?: readonly string[];
  /** Keys whose values may be numbers: a cell of a table that looks like one is one. */
  readonly numeric?: readonly string[];
  /** Reads a row that has the format. Throws UserError that begins with `place`. */
  read(row: JsonObject, place: string): Content;
}
