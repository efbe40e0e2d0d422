/** A JSON list of rows, read one row at a time: [{"text": "..."}, ...]. Memory is bounded by the longest row. */
import { UserError } from "../../errors.ts";
import { hasMark } from "./bytes.ts";
import { joined, type LocatedValue, MAX_ROW, parseRecord, refuseLong } from "./record.ts";

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** The rows; a place is file and row, counted from 1. Throws UserError that begins with it. */
export async function* readJsonList(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
  maxRowBytes = MAX_ROW,
): AsyncGenerator<LocatedValue> {
  let row = 1;
  for await (const { bytes, last } of elementsOf(chunks, what, maxRowBytes)) {
    const record = parseRecord(bytes, `${what}: row ${row}`);
    if (record) yield record;
    else if (row > 1 || !last) throw new UserError(`${what}: row ${row} is empty`, "a comma stands between two rows");
    row++;
  }
}

/** The texts between the commas of a list. `last` is that before its end. */
async function* elementsOf(chunks: AsyncIterable<Uint8Array>, what: string, most: number) {
  let parts: Uint8Array[] = [];
  let held = 0;
  let row = 1;
  let depth = 0; // 1 within the list
  let isText = false;
  let isEscaped = false;
  let isEnded = false;
  let isFirst = true;
  for await (const chunk of chunks) {
    let from = 0;
    let i = isFirst && hasMark(chunk) ? 3 : 0;
    isFirst = false;
    for (; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (isText) {
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) isText = false;
      } else if (isEnded) {
        if (!isSpace(byte)) throw new UserError(`${what} goes on after its list`, "expected one list of rows");
      } else if (depth === 0) {
        if (byte === OPEN_LIST) [depth, from] = [1, i + 1];
      } else if (byte === QUOTE) isText = true;
      else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++;
      else if ((byte === CLOSE_LIST || byte === CLOSE_OBJECT) && depth > 1) depth--;
      else if (depth === 1 && (byte === COMMA || byte === CLOSE_LIST)) {
        isEnded = byte === CLOSE_LIST;
        yield { bytes: joined([...parts, chunk.subarray(from, i)]), last: isEnded };
        [parts, held, from] = [[], 0, i + 1];
        row++;
      }
    }
    if (depth === 0 || isEnded || from === chunk.length) continue;
    parts.push(chunk.subarray(from));
    held += chunk.length - from;
    refuseLong(held, most, `${what}: row ${row}`);
  }
  if (!isEnded)
    throw new UserError(`${what} ends within its list, in row ${row}`, "it is cut short; fetch or write it again");
}
