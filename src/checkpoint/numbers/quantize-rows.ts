/**
 * Values in a number format, on the host: codes and scales, or what they stand for.
 *
 * Codes are the nearest, the even one of two, or drawn: each neighbour the likelier the nearer it is. What comes out of
 * a format goes in unchanged: the same values once more. That holds for every scale but those below the normal numbers
 * of their type.
 */
import { decodeFloats, encodeFloats } from "../decode.ts";
import { matrixValues, type QuantizedMatrix } from "../quantized/matrix.ts";
import { largestOf, scalesOf } from "./group-scales.ts";
import { LevelTable } from "./level-table.ts";
import type { NumberFormat, PlainFormat, ScaledFormat } from "./number-format.ts";

export interface RoundOptions {
  /** Numbers in [0, 1): rounding is stochastic by them, one for each value in order. To nearest without. */
  readonly draw?: () => number;
}

/** Columns of a group. */
const groupOf = ({ group }: ScaledFormat, columns: number): number =>
  typeof group === "number" ? Math.min(group, columns) : columns;

/**
 * The codes of values (rows, columns). Throws RangeError for a value that is not finite.
 *
 *   const matrix = quantizeRows(values, 4, 128, await loadMethod("number-format", "mxfp4"));
 */
export function quantizeRows(
  values: Float32Array,
  rows: number,
  columns: number,
  format: ScaledFormat,
  { draw }: RoundOptions = {},
): QuantizedMatrix {
  const table = new LevelTable(format);
  const group = groupOf(format, columns);
  const groups = Math.ceil(columns / group);
  const largest = largestOf(values, rows, columns, group);
  if (format.group === "tensor") largest.fill(largest.reduce((a, b) => Math.max(a, b), 0));
  const { scales, divisor } = scalesOf(largest, format, table);
  const zero = table.nearest(0);
  const codes = Uint8Array.from(values, (value, at) => {
    const column = at % columns;
    const scale = scales[Math.floor(at / columns) * groups + Math.floor(column / group)]!;
    if (scale === 0) return zero;
    return draw ? table.either(value / scale, draw()) : table.nearest(value / scale);
  });
  const { bits, levels } = format;
  return {
    ...{ rows, columns, group, bits, codes, scales },
    ...(levels && { levels }),
    ...(divisor !== undefined && { divisor }),
  };
}

/** Values of 16 bits: the nearest, or one of the two about each. Past the largest is infinity. */
function roundPlain(values: Float32Array, { dtype }: PlainFormat, draw: (() => number) | undefined): Float32Array {
  const bytes = encodeFloats(values, dtype);
  const rounded = decodeFloats(bytes, dtype);
  if (!draw) return rounded;
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, values.length);
  const other = Uint16Array.from(words, (word, k) => {
    // A sign and a magnitude: the next word is away from 0, and zeros have neighbours of the value's sign.
    const [x, near] = [values[k]!, rounded[k]!];
    if (near === 0) return (x < 0 ? 0x8000 : 0) | 1;
    return Math.abs(near) < Math.abs(x) ? word + 1 : word - 1;
  });
  const far = decodeFloats(new Uint8Array(other.buffer), dtype);
  return rounded.map((near, k) => {
    const unit = draw();
    const gap = Math.abs(far[k]! - near);
    return Number.isFinite(gap) && unit < Math.abs(values[k]! - near) / gap ? far[k]! : near;
  });
}

/** What values (rows, columns) are in a format. Throws RangeError for a value that is not finite. */
export function roundRows(
  values: Float32Array,
  rows: number,
  columns: number,
  format: NumberFormat,
  options: RoundOptions = {},
): Float32Array {
  if (format.kind === "plain") return roundPlain(values, format, options.draw);
  return matrixValues(quantizeRows(values, rows, columns, format, options));
}
