/** Rows as they stand in files, for commands that give them back with a key more. */
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import { readJsonFile } from "./jsonl.ts";

const HINT = "rows are objects, one a line";

/**
 * The rows of files in their order. Throws UserError for stdin, as who asks reads them again, and for what is no
 * object.
 */
export async function rowObjects(paths: readonly string[], command: string): Promise<JsonObject[]> {
  const rows: JsonObject[] = [];
  for (const path of paths) {
    if (path === "-")
      throw new UserError(`${command} reads its rows twice, which stdin cannot`, "write them to a file first");
    for await (const { value, place } of readJsonFile(path, { hint: HINT, flag: "--data" })) {
      if (!isObject(value)) throw new UserError(`${place}: expected an object`, HINT);
      rows.push(value);
    }
  }
  return rows;
}
