/**
 * Rows from Parquet files, one row group in memory at a time. Columns are the keys of a row; messages are a list of
 * structs.
 *
 * A thread decodes (parquet-worker.ts). It is ended where it takes more time or memory than an honest file of the size
 * could need, so a damaged page cannot stop the run, and Ctrl-C is heard meanwhile.
 */
import fs from "node:fs";
import { askThread } from "../../bounded-thread.ts";
import { UserError } from "../../errors.ts";
import { type Json, show } from "../../json.ts";
import type { Answer, OpenedGroup, Request } from "./parquet-worker.ts";
import type { LocatedValue } from "./record.ts";

/** Milliseconds that any answer may take, and bytes of a group that add one more. */
const LEAST_MS = 2000;
const BYTES_PER_MS = 1000;
/** Memory that decoding may take: in any case, per byte of a group, and per value that stands for itself. */
const LEAST_MEMORY = 256 * 2 ** 20;
const MEMORY_PER_BYTE = 40;
const MEMORY_PER_VALUE = 200;

/** Reads the rows of a file; messages call it `what`. A place is file and row, counted from 1. Throws UserError. */
export async function* readParquet(file: string, what = file): AsyncGenerator<LocatedValue> {
  const thread = new Decoder(what);
  try {
    const opened = await thread.ask({ open: file }, { rows: 0, bytes: fs.statSync(file).size, columns: 0 });
    const groups = "groups" in opened ? opened.groups : [];
    let row = 1;
    for (const [i, group] of groups.entries()) {
      for (const end = row + group.rows; row < end; ) {
        const answer = await thread.ask({ next: true }, group, i + 1);
        for (const value of "rows" in answer ? answer.rows : []) {
          const place = `${what}: row ${row++}`;
          yield { value: plain(value) as Json, place };
        }
      }
    }
  } finally {
    thread.end();
  }
}

/** The thread, asked one thing at a time. */
class Decoder {
  readonly #worker = new Worker(new URL("./parquet-worker.ts", import.meta.url).href);
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
    this.#worker.unref();
  }

  /** Throws UserError for what the thread cannot read, and where it needs more than a group of the size may take. */
  async ask(request: Request, { rows, bytes, columns }: OpenedGroup, group?: number): Promise<Answer> {
    const bounds = {
      milliseconds: LEAST_MS + bytes / BYTES_PER_MS,
      bytes: LEAST_MEMORY + MEMORY_PER_BYTE * bytes + MEMORY_PER_VALUE * rows * columns,
    };
    const answer = await askThread<Answer>(this.#worker, request, bounds, (bound) =>
      bound === "time"
        ? "decoding it takes far longer than its size explains"
        : "decoding it takes far more memory than it states",
    );
    if (!("error" in answer)) return answer;
    const where = group === undefined ? "" : ` in row group ${group}`;
    throw new UserError(
      `${this.#what} cannot be read as Parquet${where}: ${show(answer.error)}`,
      "it is damaged or cut short; fetch or write it again",
    );
  }

  end(): void {
    this.#worker.terminate();
  }
}

const isNumbers = (value: unknown): value is ArrayLike<number | bigint> =>
  ArrayBuffer.isView(value) && !(value instanceof DataView);

/**
 * A value as JSON would have it: 64-bit numbers as numbers where these can hold them, else as texts (hashes that name
 * rows), arrays of numbers as lists; columns without a value are left out.
 */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (isNumbers(value)) return Array.from(value, (x) => plain(x));
  if (Array.isArray(value)) return value.map((x) => plain(x));
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? String(value) : value.toISOString();
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, x]) => x !== null && x !== undefined);
  return Object.fromEntries(entries.map(([key, x]) => [key, plain(x)]));
}
