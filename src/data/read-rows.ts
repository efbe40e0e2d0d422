/**
 * Rows from files, pipes and the Hub, one at a time, in memory bounded by the longest row (of Parquet by a row group).
 *
 * What a file is, is told by its first bytes: JSON lines, a JSON list, Parquet, or one of the former packed with gzip
 * or zstd. Tables (.csv, .tsv) are told by their names. Every message names file and line, because one row of a million
 * may be bad.
 */
import fs from "node:fs";
import { UserError } from "../errors.ts";
import { emptyInput } from "../input-end.ts";
import { isObject, show } from "../json.ts";
import { type Columns, Renaming } from "./columns.ts";
import { closeFile, openFile, peek, readChunks } from "./files/bytes.ts";
import { packingOf, unpacked } from "./files/compressed.ts";
import { readJsonList } from "./files/json-list.ts";
import { readJsonLines } from "./files/jsonl.ts";
import type { LocatedValue } from "./files/record.ts";
import { isJsonList, refuseOtherThanRows } from "./files/sniff.ts";
import { parseRow } from "./parse-row.ts";
import type { LocatedRow } from "./rows.ts";

export interface ReadOptions {
  /** Descriptor that "-" reads; 0 when left out. */
  stdin?: number;
  /** Rows of more bytes are refused; 64 MiB when left out. */
  maxRowBytes?: number;
  /** Bytes asked for in one read. */
  chunkBytes?: number;
}

/** What of the rows of a source is meant. */
export interface Part {
  /** Tells tokens of this part from those of others. */
  readonly key: string;
  /** The rows of this part, of all rows of the source. Throws UserError when there are none. */
  rows(all: AsyncIterable<LocatedRow>): AsyncGenerator<LocatedRow>;
}

/** Where rows are, and which columns are meant. */
export interface RowSource {
  /** A file of rows, `hf:datasets/org/name`, or "-" for stdin. */
  readonly path: string;
  /** What `--columns` says. */
  readonly columns?: Columns | undefined;
  /** Which of the rows; all of them when left out. */
  readonly part?: Part | undefined;
}

/**
 * Reads the rows of a file, a named pipe, stdin ("-") or a data set of the Hub. Throws UserError when it cannot be
 * read, is another kind of file or holds no rows, and when a row is too large, is not JSON, or has no known form.
 */
export async function* readRows(source: string | RowSource, options: ReadOptions = {}): AsyncGenerator<LocatedRow> {
  const { part, ...whole } = typeof source === "string" ? { path: source } : source;
  const all = readAll(whole, options);
  yield* part ? part.rows(all) : all;
}

async function* readAll({ path, columns }: RowSource, options: ReadOptions): AsyncGenerator<LocatedRow> {
  const renaming = columns && new Renaming(columns);
  for await (const { value, place } of readValues(path, options)) {
    const named = renaming && isObject(value) ? renaming.row(value) : value;
    yield { row: parseRow(named, place, columns), place };
  }
  renaming?.check(path);
}

/** The rows as they stand, of any form: what each line, element or record of a table holds. Throws UserError. */
export async function* readValues(ref: string, options: ReadOptions = {}): AsyncGenerator<LocatedValue> {
  if (ref.startsWith("hf:")) return yield* hubValues(ref);
  const piped = ref === "-" || ref === "/dev/stdin";
  const what = piped ? "stdin" : ref;
  const fd = piped ? (options.stdin ?? 0) : await openFile(ref);
  let rows = 0;
  try {
    for await (const value of await valuesOf(fd, ref, what, options)) {
      rows++;
      yield value;
    }
  } finally {
    if (!piped) await closeFile(fd);
  }
  if (rows === 0) throw new UserError(`${what} holds no rows`, "expected JSON lines (one object a line), or a table");
}

async function* hubValues(ref: string): AsyncGenerator<LocatedValue> {
  const { DATASET_PREFIX, fetchDataset } = await import("./files/hub-dataset.ts");
  if (!ref.startsWith(DATASET_PREFIX))
    throw new UserError(`${show(ref)} is no data set`, "a data set of the Hub is written hf:datasets/org/name");
  const { readParquet } = await import("./files/parquet.ts");
  let rows = 0;
  for (const { file, name } of await fetchDataset(ref)) {
    for await (const value of readParquet(file, `${ref}: ${name}`)) {
      rows++;
      yield value;
    }
  }
  if (rows === 0)
    throw new UserError(`${ref} holds no rows`, "another config or split may: hf:datasets/org/name:config/split");
}

/** What reads the file that is open. */
async function valuesOf(
  fd: number,
  ref: string,
  what: string,
  options: ReadOptions,
): Promise<AsyncGenerator<LocatedValue>> {
  if (what === ref && isParquet(fd)) {
    const { readParquet } = await import("./files/parquet.ts");
    return readParquet(ref);
  }
  let { start, chunks } = await peek(readChunks(fd, what, options.chunkBytes));
  if (start.length === 0 && what !== ref) throw emptyInput(what, fd);
  const packing = packingOf(start);
  if (packing) ({ start, chunks } = await peek(unpacked(chunks, packing, what)));
  refuseOtherThanRows(start, packing ? `${what}, unpacked,` : what);
  const { delimiterOf, readTable } = await import("./files/csv.ts");
  const delimiter = delimiterOf(ref);
  if (delimiter !== undefined) return readTable(chunks, what, delimiter, options.maxRowBytes);
  if (isJsonList(start)) return readJsonList(chunks, what, options.maxRowBytes);
  return readJsonLines(chunks, what, options.maxRowBytes);
}

/** Whether a file that can be read from any place begins as Parquet does. */
function isParquet(fd: number): boolean {
  if (!fs.fstatSync(fd).isFile()) return false;
  const start = new Uint8Array(4);
  return fs.readSync(fd, start, 0, 4, 0) === 4 && String.fromCharCode(...start) === "PAR1";
}
