/** The bytes of a file, a named pipe or stdin as they come. */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { nearest } from "../../method/nearest.ts";

/** Bytes asked for in one read. */
const CHUNK = 2 ** 18;
/** Bytes that are enough to identify a file. */
export const SNIFF_BYTES = 64;
/** Bytes that identify every kind of file except text. */
const LEAST_SNIFF = 16;
const LF = 0x0a;
/** Names that files of rows have. */
const ROWS = /\.(jsonl?|parquet|csv|tsv)(\.(gz|zst))?$/;

/** Opens a file to be read. Throws UserError where there is none. */
export function openFile(ref: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(ref, "r", (error, fd) => {
      if (error === null) {
        if (!fs.fstatSync(fd).isDirectory()) return resolve(fd);
        fs.closeSync(fd);
      }
      const code = error?.code ?? "EISDIR";
      if (code === "ENOENT") reject(new UserError(`${ref} does not exist`, whatIsThere(ref)));
      else if (code === "EISDIR") reject(new UserError(`${ref} is a folder`, "give a file of rows, or - for stdin"));
      else reject(new UserError(`${ref} could not be opened: ${error?.message}`));
    });
  });
}

/** The file that may have been meant: one of another ending, or of a name like it, in the same folder. */
function whatIsThere(ref: string): string {
  const folder = path.dirname(ref);
  if (!fs.existsSync(folder)) return `there is no folder ${folder}`;
  const stem = (name: string) => path.parse(name).name;
  const files = fs.readdirSync(folder, { withFileTypes: true }).filter((one) => one.isFile());
  const names = files.map(({ name }) => name).filter((name) => ROWS.test(name));
  const wanted = stem(ref);
  const near = wanted.length < 3 ? wanted : nearest(wanted, names.map(stem));
  const found = names.find((name) => stem(name) === near);
  if (found === undefined) return "give a file of rows, or - for stdin";
  return `did you mean ${ref.includes(path.sep) ? path.join(folder, found) : found}?`;
}

/** Reads a descriptor from where it stands to its end. Each chunk has its own memory. */
export async function* readChunks(fd: number, what: string, chunkBytes = CHUNK): AsyncGenerator<Uint8Array> {
  for (;;) {
    const chunk = new Uint8Array(chunkBytes);
    const n = await readSome(fd, chunk, what);
    if (n === 0) return;
    yield chunk.subarray(0, n);
  }
}

/** Reads that are under way, by descriptor. */
const reading = new Map<number, Promise<unknown>>();

/**
 * Closes a descriptor once no read of it is under way: the next file gets its number, and would lose what that read
 * takes. Waits for the read of a file; a pipe, which may have nothing for long, is closed when it has.
 */
export async function closeFile(fd: number): Promise<void> {
  const read = reading.get(fd);
  if (read === undefined) return fs.closeSync(fd);
  const closed = read.then(() => fs.closeSync(fd));
  if (fs.fstatSync(fd).isFile()) await closed;
}

/** Reads what there is; 0 at the end. Waits for a pipe that has nothing yet. */
async function readSome(fd: number, into: Uint8Array, what: string): Promise<number> {
  for (;;) {
    try {
      const read = new Promise<number>((resolve, reject) => {
        fs.read(fd, into, 0, into.length, null, (error, n) => (error ? reject(error) : resolve(n)));
      });
      const settled = read.catch(() => {}).finally(() => reading.get(fd) === settled && reading.delete(fd));
      reading.set(fd, settled);
      return await read;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EOF" || code === "EPIPE") return 0; // Windows reports the end of a pipe so
      if (code !== "EAGAIN") throw new UserError(`${what} could not be read: ${message}`, undefined, 1);
      await Bun.sleep(5);
    }
  }
}

/**
 * Looks at the start of a stream: up to `SNIFF_BYTES`, or less where a line ends before, so that the first row of a
 * slow pipe waits for no more than that. `chunks` gives all bytes, those of the start again.
 */
export async function peek(
  chunks: AsyncGenerator<Uint8Array>,
): Promise<{ start: Uint8Array; chunks: AsyncGenerator<Uint8Array> }> {
  let start = new Uint8Array();
  while (start.length < SNIFF_BYTES && !(start.length >= LEAST_SNIFF && start.includes(LF))) {
    const { value, done } = await chunks.next();
    if (done) break;
    start = start.length === 0 ? new Uint8Array(value) : new Uint8Array(Buffer.concat([start, value]));
  }
  return { start: start.subarray(0, SNIFF_BYTES), chunks: after(start, chunks) };
}

async function* after(start: Uint8Array, chunks: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (start.length > 0) yield start;
    yield* chunks;
  } finally {
    await chunks.return(undefined);
  }
}

/** Whether text begins with a byte order mark. */
export const hasMark = (start: Uint8Array): boolean => start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf;
