/** What values lose in a number format. */
import { matrixValues } from "../quantized/matrix.ts";
import { LevelTable } from "./level-table.ts";
import type { NumberFormat } from "./number-format.ts";
import { quantizeRows, roundRows } from "./quantize-rows.ts";

export interface FormatError {
  /** Sums of squares of values and of their errors: 10 log10 of their ratio is the SNR in dB. */
  readonly signal: number;
  readonly noise: number;
  /** Values past the largest that their scale allows by more than half a step, and those that become 0. */
  readonly overflows: number;
  readonly underflows: number;
  readonly count: number;
}

/** Signal over noise in dB; Infinity where nothing is lost. */
export const snrOf = ({ signal, noise }: Pick<FormatError, "signal" | "noise">): number =>
  noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise);

/** The errors of values (rows, columns), to nearest. Throws RangeError for a value that is not finite. */
export function formatError(values: Float32Array, rows: number, columns: number, format: NumberFormat): FormatError {
  const [rounded, ends] = roundedWithEnds(values, rows, columns, format);
  let [signal, noise, overflows, underflows] = [0, 0, 0, 0];
  for (const [k, value] of values.entries()) {
    const error = value - rounded[k]!;
    signal += value * value;
    noise += error * error;
    if (Math.abs(value) > ends(k)) overflows++;
    if (value !== 0 && rounded[k] === 0) underflows++;
  }
  return { signal, noise, overflows, underflows, count: values.length };
}

/** The rounded values, and the largest magnitude that is no overflow at a place. */
function roundedWithEnds(
  values: Float32Array,
  rows: number,
  columns: number,
  format: NumberFormat,
): [Float32Array, (at: number) => number] {
  if (format.kind === "plain") {
    const rounded = roundRows(values, rows, columns, format);
    return [rounded, (at) => (Number.isFinite(rounded[at]!) ? Number.POSITIVE_INFINITY : 0)];
  }
  const matrix = quantizeRows(values, rows, columns, format);
  const { group, scales } = matrix;
  const groups = Math.ceil(columns / group);
  const end = new LevelTable(format).overflow;
  const cell = (at: number) => Math.floor(at / columns) * groups + Math.floor((at % columns) / group);
  return [matrixValues(matrix), (at) => end * scales[cell(at)]!];
}
