/**
 * JSON lines: a line ends in LF or CR LF; empty lines and a byte order mark at the start are skipped. Memory is bounded
 * by the longest row.
 */
import { UserError } from "../../errors.ts";
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
  for await (const { bytes, line } of linesOf(chunks, what, maxRowBytes)) {
    const place = `${what}:${line}`;
    const text = line === 1 && hasMark(bytes) ? bytes.subarray(3) : bytes;
    if (isOpening(text))
      throw new UserError(
        `${place} begins an object that goes over several lines`,
        "write one object a line (jq -c . rows.json), or a list of objects",
      );
    const record = parseRecord(text, place);
    if (record) yield record;
  }
}

/** Whether a line holds a brace and no more. */
const isOpening = (bytes: Uint8Array): boolean => bytes.length < 80 && new TextDecoder().decode(bytes).trim() === "{";

/** Lines without their ends; `line` counts from 1. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>, what: string, most: number) {
  let parts: Uint8Array[] = [];
  let held = 0;
  let line = 1;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
      refuseLong(held + end - from, most, `${what}:${line}`);
      yield { bytes: withoutReturn(joined([...parts, chunk.subarray(from, end)])), line };
      parts = [];
      held = 0;
      line++;
      from = end + 1;
    }
    if (from === chunk.length) continue;
    parts.push(chunk.subarray(from));
    held += chunk.length - from;
    refuseLong(held, most, `${what}:${line}`);
  }
  if (held > 0) yield { bytes: joined(parts), line };
}

const withoutReturn = (line: Uint8Array): Uint8Array => (line.at(-1) === CR ? line.subarray(0, -1) : line);
