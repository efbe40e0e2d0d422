/**
 * Rows from JSONL files and pipes, one at a time, in memory bounded by the longest row; parquet.ts reads Parquet files.
 *
 * A line ends in LF or CR LF. Empty lines and a byte order mark at the start are skipped. Every message names file and
 * line, because one row of a million may be bad.
 */
import fs from "node:fs";
import { UserError } from "../errors.ts";
import { decodeText, parseJson } from "../json.ts";
import { type LocatedRow, parseRow } from "./rows.ts";
import { refuseOtherThanRows, SNIFF_BYTES } from "./sniff.ts";

export interface ReadOptions {
  /** Descriptor that "-" reads; 0 when left out. */
  stdin?: number;
  /** Rows of more bytes are refused; 64 MiB when left out. */
  maxRowBytes?: number;
  /** Bytes asked for in one read. */
  chunkBytes?: number;
}

const MAX_ROW = 64 * 2 ** 20;
const CHUNK = 2 ** 18;
/** Bytes that identify every kind of file except text. */
const LEAST_SNIFF = 16;
const LF = 0x0a;
const CR = 0x0d;

/**
 * Reads the rows of a file, a named pipe, or stdin ("-"). Throws UserError when the file cannot be read, is another
 * kind of file or holds no rows, and when a row is too large, is not JSON, or has no known form.
 */
export async function* readRows(ref: string, options: ReadOptions = {}): AsyncGenerator<LocatedRow> {
  const piped = ref === "-" || ref === "/dev/stdin";
  const what = piped ? "stdin" : ref;
  const fd = piped ? (options.stdin ?? 0) : await open(ref);
  let rows = 0;
  try {
    if (!piped && isParquet(fd)) {
      const { readParquet } = await import("./parquet.ts");
      yield* readParquet(ref);
      return;
    }
    for await (const { bytes, line } of readLines(fd, what, options)) {
      const place = `${what}:${line}`;
      const text = decodeText(bytes, place);
      if (text.trim() === "") continue;
      rows++;
      yield { row: parseRow(parseJson(text, place).value, place), place };
    }
  } finally {
    if (!piped) fs.closeSync(fd);
  }
  if (rows === 0 && piped)
    throw new UserError("stdin was empty", "the command before the pipe failed; its message is above");
  if (rows === 0) throw new UserError(`${what} holds no rows`, "expected JSONL: one object a line");
}

/** Whether a file that can be read from any place begins as Parquet does. */
function isParquet(fd: number): boolean {
  if (!fs.fstatSync(fd).isFile()) return false;
  const start = new Uint8Array(4);
  return fs.readSync(fd, start, 0, 4, 0) === 4 && String.fromCharCode(...start) === "PAR1";
}

function open(ref: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(ref, "r", (error, fd) => {
      if (error === null) {
        if (!fs.fstatSync(fd).isDirectory()) return resolve(fd);
        fs.closeSync(fd);
      }
      const code = error?.code ?? "EISDIR";
      if (code === "ENOENT") reject(new UserError(`${ref} does not exist`, "give a JSONL file, or - for stdin"));
      else if (code === "EISDIR") reject(new UserError(`${ref} is a folder`, "give a JSONL file, or - for stdin"));
      else reject(new UserError(`${ref} could not be opened: ${error?.message}`));
    });
  });
}

/**
 * The lines of a descriptor without their ends; `line` counts from 1. A line's bytes are valid until the next is asked
 * for.
 */
async function* readLines(fd: number, what: string, { maxRowBytes = MAX_ROW, chunkBytes = CHUNK }: ReadOptions) {
  let held = new Uint8Array(chunkBytes + SNIFF_BYTES); // from `from` to `end`: bytes read and not yet given
  let from = 0;
  let end = 0;
  let searched = 0; // no line end between `from` and here
  let line = 1;
  let sniffed = false;
  for (;;) {
    if (end === held.length) {
      // Room for the rest of the line: at the front of the buffer if much of it is done with, else in one of twice the
      // size.
      const larger = from > held.length / 2 ? held : new Uint8Array(held.length * 2);
      larger.set(held.subarray(from, end));
      [held, end, searched, from] = [larger, end - from, Math.max(0, searched - from), 0];
    }
    const room = Math.min(held.length - end, chunkBytes);
    const n = await readSome(fd, held, end, room, what);
    end += n;
    // The first row of a slow pipe waits only for the bytes that identify the file.
    if (!sniffed && (end >= SNIFF_BYTES || n === 0 || (end >= LEAST_SNIFF && held.subarray(0, end).includes(LF)))) {
      refuseOtherThanRows(held.subarray(0, Math.min(end, SNIFF_BYTES)), what);
      if (held[0] === 0xef && held[1] === 0xbb && held[2] === 0xbf && end >= 3) from = 3;
      sniffed = true;
    }
    if (!sniffed) continue;
    for (;;) {
      const newline = held.subarray(0, end).indexOf(LF, Math.max(from, searched));
      if (newline < 0) break;
      refuseLong(newline - from, line);
      yield { bytes: held.subarray(from, newline > from && held[newline - 1] === CR ? newline - 1 : newline), line };
      line++;
      from = newline + 1;
    }
    searched = end;
    refuseLong(end - from, line);
    if (n === 0) {
      if (end > from) yield { bytes: held.subarray(from, end), line };
      return;
    }
  }

  function refuseLong(bytes: number, line: number): void {
    if (bytes <= maxRowBytes) return;
    const limit = maxRowBytes >= 2 ** 20 ? `${maxRowBytes / 2 ** 20} MiB` : `${maxRowBytes} bytes`;
    throw new UserError(
      `${what}:${line}: the row is larger than ${limit}`,
      "rows are separated by line ends; split long documents",
    );
  }
}

/** Reads up to `length` bytes where the descriptor stands; 0 at the end. Waits for a pipe that has nothing yet. */
async function readSome(fd: number, into: Uint8Array, at: number, length: number, what: string): Promise<number> {
  for (;;) {
    try {
      return await new Promise<number>((resolve, reject) => {
        fs.read(fd, into, at, length, null, (error, n) => (error ? reject(error) : resolve(n)));
      });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EOF" || code === "EPIPE") return 0; // Windows reports the end of a pipe so
      if (code !== "EAGAIN") throw new UserError(`${what} could not be read: ${message}`, undefined, 1);
      await Bun.sleep(5);
    }
  }
}
