/**
 * Matrices that are stored transposed: a range of output rows is a range of stored columns.
 *
 * Columns are read as strips of some MB, which neighbouring reads share. A checkpoint keeps the strips that were used
 * last within a bound, so that memory stays that of a few chunks however large the tensor is.
 */
import type { TensorEntry } from "../checkpoint.ts";

/** Bytes of codes in a strip, and how many strips a checkpoint keeps. */
const STRIP_BYTES = 2 << 20;
const KEPT = 4;
/** Rows up to this length are read whole and cut: that is quicker than a read for each. */
const LONG_ROW = 32 << 10;
const PIECE_BYTES = 1 << 20;
/** Reads of single rows that run at the same time. */
const READS = 32;

/** The strips used last, within a bound of bytes. */
export class StripCache {
  readonly #held = new Map<string, { bytes: number; strip: Promise<unknown> }>();
  readonly #stripBytes: number;
  #bytes = 0;

  constructor(stripBytes = STRIP_BYTES) {
    this.#stripBytes = stripBytes;
  }

  /** Columns of a strip: a multiple of `align`, at least one such step. `bytesPerColumn` is that of the codes. */
  width(columns: number, bytesPerColumn: number, align: number): number {
    const fit = Math.floor(this.#stripBytes / Math.max(1, bytesPerColumn) / align) * align;
    return Math.min(Math.max(fit, align), Math.ceil(columns / align) * align);
  }

  /** The strip of this key, loaded if it is not held. One key always means one type. */
  get<T>(key: string, bytes: number, load: () => Promise<T>): Promise<T> {
    const found = this.#held.get(key);
    this.#drop(key);
    const strip = (found?.strip as Promise<T> | undefined) ?? load();
    this.#held.set(key, { bytes, strip });
    this.#bytes += bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= KEPT * this.#stripBytes || oldest === key) break;
      this.#drop(oldest);
    }
    if (found === undefined) strip.catch(() => this.#drop(key));
    return strip;
  }

  #drop(key: string): void {
    this.#bytes -= this.#held.get(key)?.bytes ?? 0;
    this.#held.delete(key);
  }
}

/**
 * Bytes [from, to) of each of `rows` rows of `rowBytes` bytes, one row after the other. `base` is the first byte of the
 * first row in the tensor.
 */
export async function readColumns(
  entry: TensorEntry,
  { rows, rowBytes, base = 0 }: { rows: number; rowBytes: number; base?: number },
  from: number,
  to: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const width = to - from;
  const strip = new Uint8Array(rows * width);
  if (width === rowBytes) {
    await entry.read(strip, base);
    return strip;
  }
  if (rowBytes > LONG_ROW) {
    for (let row = 0; row < rows; row += READS) {
      const reads: Promise<void>[] = [];
      for (let r = row; r < Math.min(rows, row + READS); r++) {
        reads.push(entry.read(strip.subarray(r * width, (r + 1) * width), base + r * rowBytes + from));
      }
      await Promise.all(reads);
    }
    return strip;
  }
  const most = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  const piece = new Uint8Array(Math.min(most, rows) * rowBytes);
  for (let row = 0; row < rows; row += most) {
    const count = Math.min(most, rows - row);
    await entry.read(piece.subarray(0, count * rowBytes), base + row * rowBytes);
    for (let r = 0; r < count; r++) {
      strip.set(piece.subarray(r * rowBytes + from, r * rowBytes + to), (row + r) * width);
    }
  }
  return strip;
}

/** How ranges of an output matrix of `columns` come from strips of `width` of its rows. */
export interface FromStrips<S> {
  readonly strips: StripCache;
  /** Names the tensor among all that share the cache. */
  readonly key: string;
  readonly columns: number;
  readonly width: number;
  /** Bytes of a strip. */
  readonly bytes: number;
  /** The strip whose first row of the output is `from`. */
  read(from: number): Promise<S>;
  /** Writes a block that lies in one strip. */
  fill(into: Float32Array, block: Rectangle, strip: S): void;
}

/** Fills ranges of values, strip by strip. */
export const decodeStrips =
  <S>({ strips, key, columns, width, bytes, read, fill }: FromStrips<S>) =>
  async (into: Float32Array, first: number): Promise<void> => {
    for (const rectangle of rectangles(first, into.length, columns)) {
      const end = rectangle.row + rectangle.rows;
      for (let row = rectangle.row; row < end; ) {
        const from = Math.floor(row / width) * width;
        const strip = await strips.get(`${key}@${from}`, bytes, () => read(from));
        const stop = Math.min(end, from + width);
        const at = rectangle.at + (row - rectangle.row) * columns;
        fill(into, { ...rectangle, row, rows: stop - row, at }, strip);
        row = stop;
      }
    }
  };

/** A block of an output matrix: `rows` from `row`, `columns` from `column`, whose first value goes to `at`. */
export interface Rectangle {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
  readonly at: number;
}

/** Cuts a range of values of rows of `width` into at most three rectangles. */
export function rectangles(first: number, count: number, width: number): Rectangle[] {
  const cut: Rectangle[] = [];
  for (let done = 0; done < count; ) {
    const row = Math.floor((first + done) / width);
    const column = first + done - row * width;
    const left = count - done;
    const rows = column === 0 && left >= width ? Math.floor(left / width) : 1;
    const columns = column === 0 && left >= width ? width : Math.min(left, width - column);
    cut.push({ row, rows, column, columns, at: done });
    done += rows * columns;
  }
  return cut;
}
