/**
 * Weights as codes in device memory, which matrix products read as they are (wgsl/lib/packed.wgsl).
 *
 * A row is a record of whole words: codes of 4 or 8 bits, the lowest first; then its scales, two to a word where they
 * are bf16 or f16; then zeros, four to a word, or offsets as the scales. So some of the rows are one part of memory. A
 * table beside them holds what all rows share: the levels of the codes, and the group of every column where columns of
 * a group do not follow one another or are no power of two.
 */
import { decodeFloats, encodeFloats } from "../checkpoint/decode.ts";
import { groupsOf, type QuantizedMatrix, type StoredMatrix } from "../checkpoint/quantized/matrix.ts";

/** What a matrix of codes is, however it comes: from a file, or rounded while it is loaded. */
export type CodesForm = Pick<
  StoredMatrix,
  "columns" | "bits" | "group" | "transposed" | "with" | "indexed" | "scaleDtype"
>;

/** How rows lie. */
export interface Packing {
  /** Codes of fewer bits are held in more. */
  readonly bits: 4 | 8;
  readonly columns: number;
  readonly groups: number;
  /** Columns of a group are 2 to this power; undefined where the table says the group of each. */
  readonly shift: number | undefined;
  readonly scale: "f32" | "bf16" | "f16";
  readonly with: StoredMatrix["with"];
  /** Of integers without zeros of their own. */
  readonly zero: number;
  /** The tensor is (..., columns, rows). */
  readonly transposed: boolean;
  /** Words before the scales of a row, before its zeros or offsets, and of the whole row. */
  readonly scalesAt: number;
  readonly besideAt: number;
  readonly pitch: number;
  /** Values of the table before the groups of columns. */
  readonly levels: number;
}

const log2 = (n: number): number | undefined => (Number.isInteger(Math.log2(n)) ? Math.log2(n) : undefined);

/** Groups of 4 columns at least lie in whole vectors. */
const shiftOf = ({ columns, group, indexed }: CodesForm): number | undefined =>
  indexed ? undefined : group >= columns ? 31 : group % 4 === 0 ? log2(group) : undefined;

/** The packing of a matrix. */
export function packingOf(form: CodesForm): Packing {
  const { columns, with: kind, scaleDtype, transposed } = form;
  const bits = form.bits <= 4 ? 4 : 8;
  const groups = groupsOf(form);
  const scale = ({ F32: "f32", BF16: "bf16", F16: "f16" } as const)[scaleDtype];
  const scaleWords = scale === "f32" ? groups : Math.ceil(groups / 2);
  const scalesAt = Math.ceil((columns * bits) / 32);
  const besideAt = scalesAt + scaleWords;
  const beside = kind === "zeros" ? Math.ceil(groups / 4) : kind === "offsets" ? scaleWords : 0;
  return {
    ...{ bits, columns, groups, shift: shiftOf(form), scale, with: kind, transposed, scalesAt, besideAt },
    zero: 2 ** (form.bits - 1),
    pitch: besideAt + beside,
    levels: kind === "levels" ? 2 ** bits : 0,
  };
}

/** Words of the table; 0 where there is none. */
export const tableWords = ({ levels, shift, columns }: Packing): number =>
  levels + (shift === undefined ? 4 * Math.ceil(columns / 4) : 0);

/** What all rows share: levels as f32, then the group of every column, the last repeated to whole vectors. */
export function tableOf(packing: Packing, { levels, group, groupOf }: QuantizedMatrix): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(tableWords(packing));
  if (levels) new Float32Array(table.buffer).set(levels);
  const { columns, shift } = packing;
  if (shift !== undefined) return table;
  for (let column = 0; column < table.length - packing.levels; column++) {
    const own = Math.min(column, columns - 1);
    table[packing.levels + column] = groupOf?.[own] ?? Math.floor(own / group);
  }
  return table;
}

function scaleWords(scale: Packing["scale"], values: Float32Array): Uint32Array {
  if (scale === "f32") return new Uint32Array(values.buffer, values.byteOffset, values.length);
  const even = new Float32Array(2 * Math.ceil(values.length / 2));
  even.set(values);
  return new Uint32Array(encodeFloats(even, scale === "bf16" ? "BF16" : "F16").slice().buffer);
}

/** The records of its rows. */
export function packRows(packing: Packing, matrix: QuantizedMatrix): Uint32Array<ArrayBuffer> {
  const { bits, columns, groups, scale, scalesAt, besideAt, pitch } = packing;
  const { rows, codes, scales, zeros, offsets } = matrix;
  const words = new Uint32Array(rows * pitch);
  const each = 32 / bits;
  for (let row = 0; row < rows; row++) {
    const base = row * pitch;
    for (let at = 0, from = row * columns; at < scalesAt; at++, from += each) {
      const count = Math.min(each, columns - at * each);
      let word = 0;
      for (let i = 0; i < count; i++) word |= codes[from + i]! << (i * bits);
      words[base + at] = word;
    }
    const own = [row * groups, (row + 1) * groups] as const;
    words.set(scaleWords(scale, scales.subarray(...own)), base + scalesAt);
    if (offsets) words.set(scaleWords(scale, offsets.subarray(...own)), base + besideAt);
    if (zeros)
      for (let g = 0; g < groups; g++) words[base + besideAt + (g >> 2)]! |= zeros[own[0] + g]! << (8 * (g & 3));
  }
  return words;
}

/** The matrix whose records and table these are; `bits` are those in which it is held. */
export function unpackRows(packing: Packing, words: Uint32Array, table: Uint32Array): QuantizedMatrix {
  const { bits, columns, groups, shift, scale, scalesAt, besideAt, pitch, levels } = packing;
  const rows = words.length / pitch;
  const codes = new Uint8Array(rows * columns);
  const [each, mask] = [32 / bits, 2 ** bits - 1];
  const scales = new Float32Array(rows * groups);
  const beside = new Float32Array(packing.with === "offsets" ? rows * groups : 0);
  const zeros = new Uint8Array(rows * groups).fill(packing.zero);
  const halves = scale === "f32" ? 1 : 2;
  const dtype = ({ f32: "F32", bf16: "BF16", f16: "F16" } as const)[scale];
  const floats = (at: number) => {
    const part = words.slice(at, at + Math.ceil(groups / halves));
    return decodeFloats(new Uint8Array(part.buffer), dtype).subarray(0, groups);
  };
  for (let row = 0; row < rows; row++) {
    const base = row * pitch;
    for (let k = 0; k < columns; k++)
      codes[row * columns + k] = (words[base + Math.floor(k / each)]! >>> ((k % each) * bits)) & mask;
    scales.set(floats(base + scalesAt), row * groups);
    if (packing.with === "offsets") beside.set(floats(base + besideAt), row * groups);
    if (packing.with === "zeros")
      for (let g = 0; g < groups; g++)
        zeros[row * groups + g] = (words[base + besideAt + (g >> 2)]! >>> (8 * (g & 3))) & 255;
  }
  const group = shift === undefined ? Math.ceil(columns / groups) : shift === 31 ? columns : 2 ** shift;
  return {
    ...{ rows, columns, bits, group, codes, scales },
    ...(levels > 0 ? { levels: new Float32Array(table.slice(0, levels).buffer) } : {}),
    ...(packing.with === "offsets" ? { offsets: beside } : levels > 0 ? {} : { zeros }),
    ...(shift === undefined ? { groupOf: Int32Array.from(table.subarray(levels, levels + columns)) } : {}),
  };
}

/** What all products with such a matrix are told. */
export const packingFlags = ({ bits, shift, scale, with: kind }: Packing): string[] => [
  "b_codes",
  ...(bits === 4 ? ["b_four"] : []),
  ...(scale === "f32" ? [] : [`b_scale_${scale}`]),
  ...(kind === "integers" ? [] : [`b_${kind}`]),
  ...(shift === undefined ? ["b_indexed"] : []),
];

export const packingParams = (packing: Packing): Record<string, number> => ({
  ...{ b_pitch: packing.pitch, b_scales: packing.scalesAt, b_beside: packing.besideAt },
  ...{ b_shift: packing.shift ?? 0, b_index: packing.levels, b_zero: packing.zero },
});
