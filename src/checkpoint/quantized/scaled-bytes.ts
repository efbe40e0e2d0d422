/** The shared part of layouts whose codes are bytes in the order of the weights: value = table[code] * scale. */
import type { TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import type { Decoded, Stored } from "./contract.ts";
import { eachRun, type Grid, scalePart } from "./grid.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes, readScales } from "./read.ts";
import { bytesOfRows, groupOfGrid, scaleDtype, scalesOfRows } from "./scale-rows.ts";

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** Values of all 256 codes. */
const TABLES = {
  F8_E4M3: decodeFloats(ALL_BYTES, "F8_E4M3"),
  F8_E5M2: decodeFloats(ALL_BYTES, "F8_E5M2"),
  I8: Float32Array.from(new Int8Array(ALL_BYTES.buffer)),
};

/** Types of codes that are a byte each. */
export type ByteCodes = keyof typeof TABLES;

export const isByteCodes = (dtype: string): dtype is ByteCodes => Object.hasOwn(TABLES, dtype);

/** Zero points are subtracted from the codes; `divisor` divides the scales, in f32. */
export interface ScaledBytes {
  readonly codes: TensorEntry;
  readonly scale: TensorEntry;
  readonly grid: Grid;
  /** I8, one beside each scale. */
  readonly zero?: TensorEntry | undefined;
  readonly divisor?: number;
}

/** How such a tensor is read. */
export const scaledBytes = (stored: Stored, given: ScaledBytes): Pick<Decoded, "decode" | "matrix"> => ({
  decode: decoder(stored, given),
  matrix: matrixOf(stored, given),
});

/** Exact products, rounded once to f32. */
function decoder(stored: Stored, { codes, scale, grid, zero, divisor = 1 }: ScaledBytes): Decoded["decode"] {
  const table = TABLES[codes.dtype as ByteCodes];
  const width = codes.shape.at(-1)!;
  const { spare } = stored.strips;
  return async (into, first) => {
    const part = scalePart(grid, first, into.length, width);
    const bytes = spare.take(into.length);
    await codes.read(bytes, first);
    const scales = await readScales(stored, scale, part.first, part.count);
    const zeros = zero && new Int8Array((await readBytes(zero, part.first, part.count)).buffer);
    eachRun(grid, first, into.length, width, (at, length, index) => {
      const s = Math.fround(scales[index - part.first]! / divisor);
      const end = at + length;
      if (zeros !== undefined) {
        const z = zeros[index - part.first]!;
        for (let k = at; k < end; k++) into[k] = (table[bytes[k]!]! - z) * s;
      } else for (let k = at; k < end; k++) into[k] = table[bytes[k]!]! * s;
    });
    spare.give([bytes]);
  };
}

/** Signed codes are raised by 128. */
function matrixOf(stored: Stored, { codes, scale, grid, zero, divisor = 1 }: ScaledBytes): StoredMatrix | undefined {
  const columns = codes.shape.at(-1)!;
  const rows = codes.shape.slice(0, -1).reduce((all, side) => all * side, 1);
  const group = groupOfGrid(grid, columns);
  if (group === undefined) return undefined;
  const isInteger = codes.dtype === "I8";
  if (zero && !isInteger) return undefined; // subtracted from what a code stands for
  const levels = isInteger ? {} : { levels: TABLES[codes.dtype as ByteCodes] };
  const raised = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte) => byte ^ 128);
  return {
    ...{ rows, columns, bits: 8, group, transposed: false, indexed: false },
    with: isInteger ? (zero ? "zeros" : "integers") : "levels",
    scaleDtype: divisor === 1 ? scaleDtype(scale) : "F32",
    async read(first, count) {
      const bytes = await readBytes(codes, first * columns, count * columns);
      const scales = await scalesOfRows(stored, scale, grid, first, count);
      if (divisor !== 1) for (const [i, value] of scales.entries()) scales[i] = value / divisor;
      return {
        ...{ rows: count, columns, bits: 8, group, ...levels, scales },
        codes: isInteger ? raised(bytes) : bytes,
        ...(zero && { zeros: raised(await bytesOfRows(zero, grid, first, count)) }),
      };
    },
  };
}
