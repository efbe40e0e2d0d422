/** `--columns name=column,...`: which columns of a data set hold what rows are made of. */
import { UserError } from "../errors.ts";
import { type JsonObject, show } from "../json.ts";

/** From a name that a format of rows uses to the column that holds it. */
export type Columns = ReadonlyMap<string, string>;

/** Reads the option. Throws UserError where a part is not `name=column`, or names or columns repeat. */
export function parseColumns(text: string): Columns {
  const columns = new Map<string, string>();
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    const [name, column] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (at < 0 || name === "" || column === "")
      throw new UserError(
        `--columns: ${show(part)} is not name=column`,
        "for example --columns prompt=question,completion=reply",
      );
    if (columns.has(name)) throw new UserError(`--columns names ${show(name)} twice`, "give one column for each name");
    columns.set(name, column);
  }
  return columns;
}

/** Gives columns their names, row by row, and knows at the end whether all of them were there. */
export class Renaming {
  readonly #columns: Columns;
  readonly #unseen: Set<string>;

  constructor(columns: Columns) {
    this.#columns = columns;
    this.#unseen = new Set(columns.keys());
  }

  /** The row under the names. What lay under a name that is taken from elsewhere gives way to it. */
  row(row: JsonObject): JsonObject {
    const moved = new Set([...this.#columns.values()]);
    const renamed: [string, JsonObject[string]][] = [];
    for (const [name, column] of this.#columns) {
      if (Object.hasOwn(row, column)) renamed.push([name, row[column]!]);
      if (Object.hasOwn(row, column) || Object.hasOwn(row, name)) this.#unseen.delete(name);
    }
    const taken = new Set(renamed.map(([name]) => name));
    const others = Object.entries(row).filter(([key]) => !taken.has(key) && !moved.has(key));
    return Object.fromEntries([...others, ...renamed]);
  }

  /** Throws UserError for a column that no row of the file `what` has. */
  check(what: string): void {
    for (const name of this.#unseen)
      throw new UserError(
        `no row of ${what} has the column ${show(this.#columns.get(name)!)}, which --columns names`,
        "columns are the keys of a row, or the names in a table's first line",
      );
  }
}
