/**
 * A matrix as codes and scales: what a quantizer gives, what files hold, and what kernels multiply with.
 *
 * Value (r, c) with code q, in the group g of column c, is, in f32:
 *
 *   integers     scale[r, g] * (q - zero[r, g])
 *   offsets      q * scale[r, g] + offset[r, g]
 *   levels       scale[r, g] * levels[q]
 */

/** How numbers of a few bits stand for values. */
export interface NumberGrid {
  readonly bits: number;
  /** Values of the 2^bits codes (fp8, e2m1, nf4); integers where there are none. */
  readonly levels?: Float32Array;
}

export interface QuantizedMatrix extends NumberGrid {
  readonly rows: number;
  readonly columns: number;
  /** Columns that share a scale; all of a row's where it has one. The last group may be shorter. */
  readonly group: number;
  /** (rows, columns), each in a byte. */
  readonly codes: Uint8Array;
  /** (rows, groups), exact in the type in which they are to be stored. */
  readonly scales: Float32Array;
  /** (rows, groups), of integers; 2^(bits - 1) when left out. */
  readonly zeros?: Uint8Array;
  /** (rows, groups), in the place of zeros. */
  readonly offsets?: Float32Array;
  /** (columns) the group of each column, where columns of a group do not follow one another. */
  readonly groupOf?: Int32Array;
  /**
   * Of scales that are stored as a byte beside one number for the matrix (NVFP4): each is the f32 nearest to a value of
   * e4m3 over this. The values need only the scales.
   */
  readonly divisor?: number;
}

/** A matrix of codes in a file, as far as its header tells. */
export interface StoredMatrix extends Pick<QuantizedMatrix, "rows" | "columns" | "bits" | "group"> {
  /** The tensor is (..., columns, rows), the transpose of each of these matrices; else (..., rows, columns). */
  readonly transposed: boolean;
  /** What its values are made of beside scales. */
  readonly with: "integers" | "zeros" | "offsets" | "levels";
  /** Whether columns of a group do not follow one another. */
  readonly indexed: boolean;
  /** A type that holds its scales and offsets exactly. */
  readonly scaleDtype: "F32" | "F16" | "BF16";
  /** Rows [first, first + count), those of a stack of matrices counted one after the other. */
  read(first: number, count: number): Promise<QuantizedMatrix>;
}

export const groupsOf = ({ columns, group }: Pick<QuantizedMatrix, "columns" | "group">): number =>
  Math.ceil(columns / group);

/** Its values (rows, columns), each rounded to f32 after every operation. Throws RangeError where parts do not fit. */
export function matrixValues(matrix: QuantizedMatrix): Float32Array {
  const { rows, columns, group, bits, levels, codes, scales, zeros, offsets, groupOf } = matrix;
  const groups = groupsOf(matrix);
  expectLength("codes", codes.length, rows * columns);
  expectLength("scales", scales.length, rows * groups);
  if (zeros) expectLength("zeros", zeros.length, rows * groups);
  if (offsets) expectLength("offsets", offsets.length, rows * groups);
  if (groupOf) expectLength("groups of columns", groupOf.length, columns);
  if (levels) expectLength("levels", levels.length, 2 ** bits);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const cell = row * groups + (groupOf?.[column] ?? Math.floor(column / group));
      const [code, scale] = [codes[at]!, scales[cell]!];
      if (levels) values[at] = scale * levels[code]!;
      else if (offsets) values[at] = Math.fround(code * scale) + offsets[cell]!;
      else values[at] = scale * (code - (zeros?.[cell] ?? 2 ** (bits - 1)));
    }
  }
  return values;
}

function expectLength(what: string, length: number, expected: number): void {
  if (length !== expected) throw new RangeError(`a quantized matrix has ${length} ${what}; expected ${expected}`);
}
