/**
 * A file of trials as JSON lines: first what is searched, then a line per trial, written when the trial ends. A process
 * that is killed may leave a part of a line, which is no trial.
 */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject, parseJson } from "../../json.ts";

/** The first part in which the heads of two searches differ, with its two values. */
export function difference(one: JsonObject, other: JsonObject): string | undefined {
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const [a, b] = [JSON.stringify(one[key]), JSON.stringify(other[key])];
    if (a === b) continue;
    if (key === "settings" && isObject(one[key]) && isObject(other[key])) return difference(one[key], other[key]);
    return `its ${key} is ${short(a)}, this one's ${short(b)}`;
  }
  return undefined;
}

const short = (text: string | undefined): string =>
  text === undefined ? "not there" : text.length > 80 ? `${text.slice(0, 80)}…` : text;

/** The lines of a file and where the last whole one ends: a process that is killed may leave a part of one. */
export function linesOf(file: string): { lines: JsonObject[]; end: number } {
  const bytes = fs.readFileSync(file);
  const end = bytes.lastIndexOf(10) + 1;
  const texts = bytes.subarray(0, end).toString("utf8").split("\n").slice(0, -1);
  const lines = texts.map((text, i) => {
    const { value } = parseJson(text, `${file}, line ${i + 1}`);
    if (!isObject(value)) throw new UserError(`${file}, line ${i + 1} is no trial`, "name another file");
    return value as JsonObject;
  });
  return { lines, end };
}

/** Appends lines to a file behind a head. */
export class LineWriter {
  readonly #file: string;
  readonly #flag: string;

  /**
   * Goes on after the last whole line, if the file is there. `flag` names it in messages. Throws UserError where it
   * cannot be written.
   */
  constructor(file: string, head: JsonObject, flag: string) {
    this.#file = file;
    this.#flag = flag;
    const end = fs.existsSync(file) ? linesOf(file).end : 0;
    if (end > 0) this.#reach(() => end < fs.statSync(file).size && fs.truncateSync(file, end));
    else this.#reach(() => fs.writeFileSync(file, `${JSON.stringify(head)}\n`));
  }

  add(line: JsonObject): void {
    this.#reach(() => fs.appendFileSync(this.#file, `${JSON.stringify(line)}\n`));
  }

  #reach(write: () => unknown): void {
    try {
      write();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UserError(`${this.#flag}: ${this.#file} cannot be written (${code})`, "choose another file", 1);
    }
  }
}
