/**
 * The thread that decodes Parquet for parquet.ts. A damaged file can keep the decoder busy for ever or make it take all
 * memory; as a thread it can be watched and ended.
 *
 * It is asked to open a file, and then for batches of rows until it has given as many as it stated.
 */
import type { AsyncBuffer, FileMetaData } from "hyparquet";

export interface OpenedGroup {
  readonly rows: number;
  /** Bytes of the group as stated, unpacked. */
  readonly bytes: number;
  readonly columns: number;
}

export type Request = { readonly open: string } | { readonly next: true };

export type Answer =
  | { readonly groups: readonly OpenedGroup[] }
  | { readonly rows: readonly Record<string, unknown>[] }
  | { readonly error: string };

/** Rows of an answer. */
const BATCH = 1024;
/** Rows of a group; one is decoded as a whole. */
const MAX_GROUP_ROWS = 2 ** 24;

let source: { file: AsyncBuffer; metadata: FileMetaData } | undefined;
let group = 0;
let first = 0;
let rows: Record<string, unknown>[] = [];
let given = 0;

async function open(path: string): Promise<Answer> {
  const { asyncBufferFromFile, parquetMetadataAsync } = await import("hyparquet");
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  source = { file, metadata };
  const groups = metadata.row_groups.map(({ num_rows, total_byte_size, columns }) => {
    const count = Number(num_rows);
    if (!(count >= 0 && count <= MAX_GROUP_ROWS))
      throw new Error(`a row group states ${num_rows} rows, and at most ${MAX_GROUP_ROWS} are read`);
    return { rows: count, bytes: Math.max(0, Number(total_byte_size)), columns: columns.length };
  });
  return { groups };
}

async function next(): Promise<Answer> {
  const { file, metadata } = source!;
  while (given === rows.length) {
    const count = Number(metadata.row_groups[group]!.num_rows);
    group++;
    const { parquetReadObjects } = await import("hyparquet");
    const { compressors } = await import("hyparquet-compressors");
    rows = await parquetReadObjects({ file, metadata, compressors, rowStart: first, rowEnd: first + count });
    if (rows.length !== count) throw new Error(`${rows.length} rows where ${count} are stated`);
    first += count;
    given = 0;
  }
  const batch = rows.slice(given, given + BATCH);
  given += batch.length;
  return { rows: batch };
}

declare const self: Worker;

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  let answer: Answer;
  try {
    answer = "open" in data ? await open(data.open) : await next();
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  self.postMessage(answer);
};
