/**
 * JSON lines: a line ends in LF or CR LF; empty lines and a byte order mark at the start are skipped. Memory is bounded
 * by the longest row.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { hasMark } from "./bytes.ts";
import { joined, type LocatedValue, MAX_ROW, parseRecord, refuseLong } from "./record.ts";

const LF = 0x0a;
const CR = 0x0d;

/** The rows; a place is file and line. Throws UserError that begins with it. */
export async function* readJsonLines(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
  maxRowBytes = MAX_ROW,
): AsyncGenerator<LocatedValue> {
  let parts: Uint8Array[] = []; // a line's beginning, in the chunks before
  let held = 0;
  let line = 1;
  const take = (last: Uint8Array): LocatedValue | undefined => {
    const place = `${what}:${line}`;
    refuseLong(held + last.length, maxRowBytes, place);
    const bytes = parts.length === 0 ? last : joined([...parts, last]);
    if (parts.length > 0) [parts, held] = [[], 0];
    return recordOf(bytes, place, line++ === 1);
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
      const record = take(chunk.subarray(from, end));
      if (record) yield record;
      from = end + 1;
    }
    if (from === chunk.length) continue;
    parts.push(chunk.subarray(from));
    held += chunk.length - from;
    refuseLong(held, maxRowBytes, `${what}:${line}`);
  }
  const record = held > 0 ? take(new Uint8Array()) : undefined;
  if (record) yield record;
}

function recordOf(bytes: Uint8Array, place: string, isFirst: boolean): LocatedValue | undefined {
  const text = isFirst && hasMark(bytes) ? bytes.subarray(3) : bytes;
  if (isFirst && new TextDecoder().decode(text.subarray(0, 80)).trim() === "{")
    throw new UserError(
      `${place} begins an object that goes over several lines`,
      "write one object a line (jq -c . rows.json), or a list of objects",
    );
  const row = text.at(-1) === CR ? text.subarray(0, -1) : text;
  if (isFirst && /^[^\s{[]/.test(new TextDecoder().decode(row.subarray(0, 8))))
    throw new UserError(
      `${place} is not JSON: it begins with ${show(new TextDecoder().decode(row.subarray(0, 24)))}`,
      "rows are objects, one a line: jq -Rc '{text: .}' makes them of lines of text; tables are named .csv or .tsv",
    );
  return parseRecord(row, place);
}

async function* bytesOf(file: string, hint: string, flag: string): AsyncGenerator<Uint8Array> {
  try {
    yield* file === "-" ? Bun.stdin.stream() : Bun.file(file).stream();
  } catch (error) {
    throw new UserError(`${flag}${file} cannot be read: ${(error as Error).message}`, hint);
  }
}

/**
 * The rows of a file, or of stdin for "-". Throws UserError for one that cannot be read: `hint` says what belongs
 * there, `flag` which option named it.
 */
export const readJsonFile = (file: string, { hint, flag }: { hint: string; flag?: string }) =>
  readJsonLines(bytesOf(file, hint, flag ? `${flag} ` : ""), file === "-" ? "stdin" : file);
