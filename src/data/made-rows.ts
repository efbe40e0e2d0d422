/** Rows of a procedural task on their way out, and what is found out about them on it. */
import { UserError } from "../errors.ts";
import type { Row, Split, TaskSource } from "./task.ts";

/** Rows when their number is left out and the task has no end. */
export const USUAL_ROWS = 1000;

/** The ground truth of a row, if it has one. */
const answerOf = (row: Row): unknown => row.answer ?? row.completion ?? row.label;

/**
 * How many rows there will be: those that were asked for, else all, or `usual` of a task without end. Throws UserError
 * for more than there are; `flag` names the option.
 */
export function sizeOf(source: TaskSource, asked: number | undefined, flag: string, split: Split, usual = USUAL_ROWS) {
  const size = asked ?? (source.rows === Number.POSITIVE_INFINITY ? usual : source.rows);
  if (size <= source.rows) return size;
  throw new UserError(
    `${flag}: ${size} rows were asked for, but this ${split} split has ${source.rows}`,
    `leave ${flag} out to have them all`,
  );
}

/** Counts by group or label, hashes, and bytes. */
export interface MadeRows {
  readonly bytes: number;
  readonly counts?: Readonly<Record<string, number>>;
  readonly rows_sha256: string;
  readonly answers_sha256?: string;
}

export interface Sink {
  write?(text: string): void;
  advance(rows: number): void;
  readonly signal: AbortSignal;
}

/** Makes the first `size` rows and hands them over as JSON lines. */
export async function makeRows(source: TaskSource, size: number, { write, advance, signal }: Sink): Promise<MadeRows> {
  write?.(""); // a file of no rows is a file, too
  const rows = new Bun.CryptoHasher("sha256");
  const answers = new Bun.CryptoHasher("sha256");
  const counts: Record<string, number> = {};
  let bytes = 0;
  let answered = size > 0;
  let chunk = "";
  const flush = () => {
    rows.update(chunk);
    bytes += Buffer.byteLength(chunk);
    write?.(chunk);
    chunk = "";
  };
  for (let index = 0; index < size; index++) {
    const row = source.row(index);
    const answer = answerOf(row);
    if (answer === undefined) answered = false;
    else answers.update(`${JSON.stringify(answer)}\n`);
    const group = row.group ?? row.label;
    if (group !== undefined) counts[String(group)] = (counts[String(group)] ?? 0) + 1;
    chunk += `${JSON.stringify(row)}\n`;
    if (chunk.length >= 2 ** 16) {
      flush();
      advance(0);
      await Bun.sleep(0); // lets Ctrl-C through
      signal.throwIfAborted();
    }
    advance(1);
  }
  flush();
  const sorted = Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    bytes,
    ...(Object.keys(sorted).length > 0 ? { counts: sorted } : {}),
    rows_sha256: rows.digest("hex"),
    ...(answered ? { answers_sha256: answers.digest("hex") } : {}),
  };
}

/** The plain facts in one line: numbers with five digits, no lists. */
export function summaryOf(size: number, facts: Readonly<Record<string, unknown>>): string {
  const plain = Object.entries(facts)
    .filter(([, value]) => typeof value === "number" || typeof value === "string")
    .map(([name, value]) => {
      const shown = typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(5) : value;
      return `${name.replaceAll("_", " ")} ${shown}`;
    });
  return [`${size} ${size === 1 ? "row" : "rows"}`, ...plain].join(", ");
}
