/**
 * A tensor with its rows and columns in another order, repeated, left out or filled up with zeros. Nothing is held and
 * nothing is computed: values are copied while they are read, in the type they have.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { UserError } from "../../errors.ts";

/** For each place the row or column of the source that stands there; -1 for zeros. Undefined: all, as they are. */
export interface Picked {
  readonly rows?: Int32Array | undefined;
  readonly columns?: Int32Array | undefined;
}

/** Stands for zeros in a list of rows or columns. */
export const ZERO = -1;

/** Bytes of the source that are held at a time. */
const PIECE = 4 << 20;

/** Rows and columns of a tensor: the first axis and all others. */
export const sidesOf = ([rows = 1, ...rest]: readonly number[]): [rows: number, columns: number] => [
  rows,
  rest.reduce((a, b) => a * b, 1),
];

/** Copies values of a row by their places; `width` bytes each. */
function pickColumns(into: Uint8Array, row: Uint8Array, columns: Int32Array, width: number): void {
  for (const [place, column] of columns.entries()) {
    const [to, from] = [place * width, column * width];
    for (let b = 0; b < width; b++) into[to + b] = column === ZERO ? 0 : row[from + b]!;
  }
}

/**
 * `entry` in the shape (rows, columns), or as a vector of rows where it is one. `picked` may be known later than the
 * shape: it is asked for at the first read. Throws UserError for a tensor that an adapter changes.
 */
export function gathered(
  entry: TensorEntry,
  shape: readonly number[],
  picked: () => Picked,
  whose: string,
): TensorEntry {
  if (entry.patch)
    throw new UserError(
      `${whose}: an adapter changes ${entry.name}, whose rows are wanted in another order`,
      "write the model out first: bun run merge base+adapter --method passthrough -o FOLDER",
    );
  const width = DTYPE_BYTES[entry.dtype];
  const [, columns] = sidesOf(shape);
  const [sourceRows, sourceColumns] = sidesOf(entry.shape);
  const [rowBytes, sourceBytes] = [columns * width, sourceColumns * width];
  let known: Picked | undefined;

  /** Fills whole rows of the result, from `first` on. */
  async function fill(into: Uint8Array, first: number): Promise<void> {
    known ??= picked();
    const { rows, columns: places } = known;
    const count = into.length / rowBytes;
    const most = Math.max(1, Math.floor(PIECE / sourceBytes));
    const rowAt = (r: number): number => (rows ? rows[r]! : r);
    for (let r = 0; r < count; ) {
      const from = rowAt(first + r);
      let run = 1;
      // Rows that follow each other there too are read together.
      while (r + run < count && run < most && rowAt(first + r + run) === (from === ZERO ? ZERO : from + run)) run++;
      const part = into.subarray(r * rowBytes, (r + run) * rowBytes);
      if (from === ZERO) part.fill(0);
      else if (from + run > sourceRows) throw new RangeError(`${entry.name} has no row ${from + run - 1}`);
      else if (!places) await entry.read(part, from * sourceBytes);
      else {
        const source = new Uint8Array(run * sourceBytes);
        await entry.read(source, from * sourceBytes);
        for (let k = 0; k < run; k++)
          pickColumns(
            part.subarray(k * rowBytes, (k + 1) * rowBytes),
            source.subarray(k * sourceBytes, (k + 1) * sourceBytes),
            places,
            width,
          );
      }
      r += run;
    }
  }

  return {
    ...{ name: entry.name, dtype: entry.dtype, shape, bytes: shape.reduce((a, b) => a * b, 1) * width },
    async read(into, offset) {
      if (rowBytes === 0) return;
      let done = 0;
      while (done < into.length) {
        const row = Math.floor((offset + done) / rowBytes);
        const within = (offset + done) % rowBytes;
        const whole = Math.floor((into.length - done) / rowBytes);
        if (within === 0 && whole > 0) {
          await fill(into.subarray(done, done + whole * rowBytes), row);
          done += whole * rowBytes;
          continue;
        }
        const one = new Uint8Array(rowBytes); // a range that begins or ends inside a row
        await fill(one, row);
        const part = one.subarray(within, within + into.length - done);
        into.set(part, done);
        done += part.length;
      }
    },
  };
}
