/**
 * Rows from Parquet files, one row group in memory at a time. Columns are the keys of a row: text, prompt and
 * completion, messages (a list of structs), input_ids and labels, x or image and label.
 */
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import { type LocatedRow, parseRow } from "./rows.ts";

/**
 * Reads the rows of a file. A row's place is file and row, counted from 1. Throws UserError when it is damaged or holds
 * other rows.
 */
export async function* readParquet(file: string): AsyncGenerator<LocatedRow> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  let buffer: AsyncBuffer;
  let metadata: FileMetaData;
  try {
    buffer = await asyncBufferFromFile(file);
    metadata = await parquetMetadataAsync(buffer);
  } catch (error) {
    throw damaged(file, error);
  }
  let first = 0;
  for (const group of metadata.row_groups) {
    const count = Number(group.num_rows);
    let rows: Record<string, unknown>[];
    try {
      rows = await parquetReadObjects({ file: buffer, metadata, compressors, rowStart: first, rowEnd: first + count });
    } catch (error) {
      throw damaged(file, error);
    }
    for (const [i, row] of rows.entries()) {
      const place = `${file}: row ${first + i + 1}`;
      yield { row: parseRow(plain(row, place) as Json, place), place };
    }
    first += count;
  }
  if (first === 0)
    throw new UserError(
      `${file} holds no rows`,
      "expected columns of text, prompt and completion, messages or input_ids",
    );
}

const damaged = (file: string, error: unknown): UserError =>
  new UserError(
    `${file} cannot be read as Parquet: ${(error as Error).message}`,
    "it may be cut off; fetch or write it again",
  );

/**
 * A value as JSON would have it: 64-bit numbers as numbers, arrays of numbers as lists; columns without a value are
 * left out.
 */
function plain(value: unknown, place: string): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    if (!Number.isSafeInteger(number))
      throw new UserError(`${place}: ${value} is too large for a number`, "write it as text");
    return number;
  }
  if (ArrayBuffer.isView(value))
    return Array.from(value as unknown as ArrayLike<number | bigint>, (x) => plain(x, place));
  if (Array.isArray(value)) return value.map((x) => plain(x, place));
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, x]) => x !== null && x !== undefined);
  return Object.fromEntries(entries.map(([key, x]) => [key, plain(x, place)]));
}
