/**
 * Matrices that are stored transposed: a range of output rows is a range of stored columns.
 *
 * Columns are read as strips of some MB, which neighbouring reads share. A checkpoint keeps the strips that were used
 * last within a bound, so that memory stays that of a few chunks however large the tensor is.
 */
import type { TensorEntry } from "../checkpoint.ts";
import { SpareArrays, type TakeBytes } from "./spare-arrays.ts";

/** Bytes of codes in a strip, and how many strips a checkpoint keeps. */
const STRIP_BYTES = 2 << 20;
const KEPT = 4;
/** Rows up to this length are read whole and cut: that is quicker than a read for each. */
const LONG_ROW = 32 << 10;
const PIECE_BYTES = 1 << 20;
/** Reads of single rows that run at the same time. */
const READS = 32;

interface Held {
  readonly bytes: number;
  readonly strip: Promise<unknown>;
  readonly arrays: readonly Uint8Array<ArrayBuffer>[];
  users: number;
  dropped: boolean;
}

/** The strips used last, within a bound of bytes. */
export class StripCache {
  readonly #held = new Map<string, Held>();
  readonly #stripBytes: number;
  /** Also for reads that need no strip. */
  readonly spare: SpareArrays;
  #bytes = 0;

  constructor(stripBytes = STRIP_BYTES) {
    this.#stripBytes = stripBytes;
    this.spare = new SpareArrays(KEPT * stripBytes);
  }

  /** Columns of a strip: a multiple of `align`, at least one such step. `bytesPerColumn` is that of the codes. */
  width(columns: number, bytesPerColumn: number, align: number): number {
    const fit = Math.floor(this.#stripBytes / Math.max(1, bytesPerColumn) / align) * align;
    return Math.min(Math.max(fit, align), Math.ceil(columns / align) * align);
  }

  /**
   * Shows `use` the strip of this key, loaded if it is not held. One key always means one type. What `load` takes
   * belongs to the strip: it must not be read after `use` returns.
   */
  async with<T>(
    key: string,
    bytes: number,
    load: (take: TakeBytes) => Promise<T>,
    use: (strip: T) => void,
  ): Promise<void> {
    const held = this.#held.get(key) ?? this.#load(bytes, load);
    this.#held.delete(key);
    this.#held.set(key, held); // the last in the order is the one used last
    held.users++;
    for (const [oldest, other] of this.#held) {
      if (this.#bytes <= KEPT * this.#stripBytes || other === held) break;
      this.#drop(oldest, other);
    }
    try {
      use((await held.strip) as T);
    } catch (error) {
      if (this.#held.get(key) === held) this.#drop(key, held);
      throw error;
    } finally {
      held.users--;
      this.#release(held);
    }
  }

  #load<T>(bytes: number, load: (take: TakeBytes) => Promise<T>): Held {
    const arrays: Uint8Array<ArrayBuffer>[] = [];
    const take = (count: number) => {
      const array = this.spare.take(count);
      arrays.push(array);
      return array;
    };
    this.#bytes += bytes;
    return { bytes, strip: load(take), arrays, users: 0, dropped: false };
  }

  #drop(key: string, held: Held): void {
    this.#held.delete(key);
    this.#bytes -= held.bytes;
    held.dropped = true;
    this.#release(held);
  }

  #release({ dropped, users, arrays }: Held): void {
    if (dropped && users === 0) this.spare.give(arrays);
  }
}

/**
 * Bytes [from, to) of each of `rows` rows of `rowBytes` bytes, one row after the other. `base` is the first byte of the
 * first row in the tensor. The result and a piece of up to 1 MiB come from `take`.
 */
export async function readColumns(
  entry: TensorEntry,
  { rows, rowBytes, base = 0 }: { rows: number; rowBytes: number; base?: number },
  from: number,
  to: number,
  take: TakeBytes,
): Promise<Uint8Array<ArrayBuffer>> {
  const width = to - from;
  const strip = take(rows * width);
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
  const piece = take(Math.min(most, rows) * rowBytes);
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
  read(from: number, take: TakeBytes): Promise<S>;
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
        const stop = Math.min(end, from + width);
        const block = { ...rectangle, row, rows: stop - row, at: rectangle.at + (row - rectangle.row) * columns };
        await strips.with(
          `${key}@${from}`,
          bytes,
          (take) => read(from, take),
          (strip) => fill(into, block, strip),
        );
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
