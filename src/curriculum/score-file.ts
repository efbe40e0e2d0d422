/** Losses of rows from a file that `curriculum score` wrote. */
import { readJsonFile } from "../data/files/jsonl.ts";
import { UserError } from "../errors.ts";
import { isObject } from "../json.ts";

const HINT = "bun run curriculum score writes such a file, of the same --data";

/**
 * The `loss` of every line, NaN where it is null: of so many rows, in the order of --data. Throws UserError for another
 * number of them.
 */
export async function readScores(file: string, rows: number): Promise<Float64Array> {
  const losses: number[] = [];
  for await (const { value, place } of readJsonFile(file, { hint: HINT, flag: "--scores" })) {
    const loss = isObject(value) ? value.loss : undefined;
    if (loss !== null && typeof loss !== "number") throw new UserError(`${place}: expected a row with its loss`, HINT);
    losses.push(loss ?? Number.NaN);
  }
  if (losses.length !== rows)
    throw new UserError(`--scores ${file} has ${losses.length} rows, and --data has ${rows}`, HINT);
  return Float64Array.from(losses);
}
