/** JSON that describes the cases of a golden folder. */
import { readFileSync } from "node:fs";

/** The JSON of a file. Throws an Error that names the file. */
export function readIndex<T>(file: string): T {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as T;
  } catch (error) {
    throw new Error(error instanceof SyntaxError ? `${file}: ${error.message}` : (error as Error).message);
  }
}

/** The value. Throws an Error that names it, `what`, where it is missing. */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
}
