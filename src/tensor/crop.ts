/** A tensor's top-left part as a tensor: what merging embeddings of different height works on. */
import { mergeOnCpu } from "../checkpoint/adapter/adapter.ts";
import { isRowPatch, type TensorEntry } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../checkpoint/dtype.ts";

/** The same with its change made, which needs the whole of it. */
function changed(entry: TensorEntry): TensorEntry {
  const { name, dtype, shape, bytes } = entry;
  let known: Promise<Uint8Array> | undefined;
  return {
    ...{ name, dtype, shape, bytes },
    async read(into, offset) {
      known ??= mergeOnCpu(entry).then((values) => encodeFloats(values, dtype));
      into.set((await known).subarray(offset, offset + into.length));
    },
  };
}

/** The first `rows` rows and `columns` columns of a matrix; the entry itself when that is all of it. */
export function cropEntry(entry: TensorEntry, rows: number, columns: number): TensorEntry {
  const [height = 0, width = 0] = entry.shape;
  if (entry.shape.length !== 2 || (height === rows && width === columns)) return entry;
  const cell = DTYPE_BYTES[entry.dtype];
  if (isRowPatch(entry.patch)) return cropEntry(changed(entry), rows, columns);
  const { a, b, rank } = entry.patch ?? { a: new Float32Array(), b: new Float32Array(), rank: 0 };
  // Stored (out, in): rows go with B and columns with A; transposed the other way round.
  const [bRows, aColumns] = entry.patch?.transposed ? [columns, rows] : [rows, columns];
  const aWidth = rank === 0 ? 0 : a.length / rank;
  const patch = entry.patch && {
    ...entry.patch,
    a: Float32Array.from({ length: rank * aColumns }, (_, i) => a[Math.floor(i / aColumns) * aWidth + (i % aColumns)]!),
    b: b.slice(0, bRows * rank),
    ...(entry.patch.magnitude && { magnitude: entry.patch.magnitude.slice(0, bRows) }),
  };
  return {
    name: entry.name,
    dtype: entry.dtype,
    shape: [rows, columns],
    bytes: rows * columns * cell,
    ...(patch && { patch }),
    async read(into, offset) {
      if (width === columns) return entry.read(into, offset);
      let done = 0;
      while (done < into.length) {
        const at = offset + done;
        const row = Math.floor(at / (columns * cell));
        const within = at % (columns * cell);
        const bytes = Math.min(columns * cell - within, into.length - done);
        await entry.read(into.subarray(done, done + bytes), row * width * cell + within);
        done += bytes;
      }
    },
  };
}
