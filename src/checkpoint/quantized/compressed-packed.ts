/**
 * compressed-tensors pack-quantized: W = (u - z) * weight_scale, u a field of b bits in weight_packed.
 *
 * weight_packed is I32 (o, ⌈i b / 32⌉), low bits first along a row, with codes raised by 2^(b-1); without zero points z
 * is 2^(b-1). weight_zero_point is packed alike, but along the rows: (⌈o b / 32⌉, groups); older files hold it as I8
 * (o, groups), not raised. weight_shape holds o and i, weight_g_idx the group of each column.
 * https://github.com/vllm-project/compressed-tensors
 */
import type { TensorEntry } from "../checkpoint.ts";
import { field, unpack, wordsOf } from "./bits.ts";
import { COMPRESSED_TENSORS, refuseTransforms, schemeGroups, schemeNumbers } from "./compressed-tensors.ts";
import {
  companion,
  type Decoded,
  described,
  expectShape,
  type Layout,
  once,
  refusal,
  type Stored,
} from "./contract.ts";
import { eachRun, type Grid, gridOf, type ScalePart, scalePart, scaleRow } from "./grid.ts";
import { groupIndex } from "./group-index.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes, readScales, readWords } from "./read.ts";
import { bytesOfRows, groupOfGrid, scaleDtype, scalesOfRows } from "./scale-rows.ts";

const NAME = "compressed-tensors pack-quantized";
const SUFFIX = "_packed";

interface Packed {
  readonly codes: TensorEntry;
  readonly scale: TensorEntry;
  readonly zero: TensorEntry | undefined;
  /** Group of each column, where columns are not in the order of their groups. */
  readonly groups: (() => Promise<Int32Array>) | undefined;
  readonly grid: Grid;
  readonly bits: number;
  readonly columns: number;
}

/** The shape that weight_shape states. */
async function shapeOf(codes: TensorEntry, stem: string, stored: Stored): Promise<[number, number]> {
  const stated = companion(stored, NAME, codes, `${stem}_shape`, ["I64", "I32"]);
  expectShape(stored, NAME, stated, [2]);
  if (!stored.seekable) {
    throw refusal(
      stored,
      NAME,
      `the shape of ${stem} stands in the data of ${stated.name}, which a pipe brings too late`,
      "name the file or folder instead of the pipe",
    );
  }
  const bytes = await readBytes(stated, 0, stated.bytes);
  const values =
    stated.dtype === "I64" ? [...new BigInt64Array(bytes.buffer)].map(Number) : [...new Int32Array(bytes.buffer)];
  const [o, i] = values as [number, number];
  if (codes.shape.length !== 2 || codes.shape[0] !== o || !Number.isSafeInteger(i) || i < 1) {
    throw refusal(stored, NAME, `${described(codes)}, but ${stated.name} states (${values.join(", ")})`);
  }
  return [o, i];
}

function bitsOf(codes: TensorEntry, columns: number, stored: Stored): number {
  const fits = (bits: number) => bits <= 8 && wordsOf(columns, bits) === codes.shape[1];
  const stated = schemeNumbers(stored, "num_bits").find(fits);
  const bits = stated ?? [4, 8, 2, 3, 5, 6, 7, 1].find(fits);
  if (bits !== undefined) return bits;
  throw refusal(stored, NAME, `${described(codes)}, which is no packing of ${columns} columns in 1 to 8 bits`);
}

function zeroOf(codes: TensorEntry, scale: TensorEntry, stem: string, bits: number, stored: Stored) {
  if (!stored.tensors.has(`${stem}_zero_point`)) return undefined;
  const zero = companion(stored, NAME, codes, `${stem}_zero_point`, ["I32", "I8"]);
  const [rows, ...rest] = scale.shape as [number, ...number[]];
  expectShape(stored, NAME, zero, zero.dtype === "I8" ? scale.shape : [wordsOf(rows, bits), ...rest]);
  return zero;
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  refuseTransforms(stored);
  const stem = codes.name.slice(0, -SUFFIX.length);
  const [rows, columns] = await shapeOf(codes, stem, stored);
  const bits = bitsOf(codes, columns, stored);
  const scale = companion(stored, NAME, codes, `${stem}_scale`, ["float"]);
  const indexed = stored.tensors.has(`${stem}_g_idx`);
  const grid = gridOf([rows, columns], scale.shape, { groups: schemeGroups(stored) });
  if (grid === undefined || (grid.rowBlock !== 1 && grid.columns * grid.gridRows !== 1)) {
    throw refusal(
      stored,
      NAME,
      `${described(codes)} of ${columns} columns and ${described(scale)}, which is no grid over it`,
    );
  }
  const zero = zeroOf(codes, scale, stem, bits, stored);
  const index = indexed ? companion(stored, NAME, codes, `${stem}_g_idx`, ["I32"]) : undefined;
  const groups = index && once(() => groupIndex(stored, NAME, index, columns, grid.columns));
  if (groups) await groups();
  const packed = { codes, scale, zero, groups, grid, bits, columns };
  return {
    ...{ layout: NAME, bits, group: grid.text + (index ? ", act-order" : ""), name: stem, shape: [rows, columns] },
    consumes: [codes, scale, stored.tensors.get(`${stem}_shape`)!, zero, index].flatMap((entry) => entry?.name ?? []),
    decode: decoder(stored, packed),
    matrix: matrixOf(stored, packed, rows),
  };
}

function decoder(stored: Stored, packed: Packed): Decoded["decode"] {
  const { codes, scale, groups, grid, bits, columns } = packed;
  const perRow = wordsOf(columns, bits);
  return async (into, first) => {
    const index = groups && (await groups());
    const part = index ? wholeRows(grid, first, into.length, columns) : scalePart(grid, first, into.length, columns);
    const scales = await readScales(stored, scale, part.first, part.count);
    const zeros = await zeroPoints(packed, part);
    const last = first + into.length - 1;
    const from = Math.floor(first / columns) * perRow + Math.floor(((first % columns) * bits) / 32);
    const to = Math.floor(last / columns) * perRow + wordsOf((last % columns) + 1, bits);
    const words = await readWords(codes, from, to - from);
    const fields = new Uint8Array(Math.min(columns, into.length));
    let [unpacked, begin] = [-1, 0];
    eachRun(grid, first, into.length, columns, (at, length, cell, row, column) => {
      if (row !== unpacked) {
        const count = Math.min(columns - column, into.length - at);
        unpack(words, row * perRow - from, bits, column, count, fields);
        [unpacked, begin] = [row, column];
      }
      const local = column - begin;
      if (index) {
        const base = scaleRow(grid, row) * grid.columns - part.first;
        for (let k = 0; k < length; k++) {
          const g = base + index[column + k]!;
          into[at + k] = (fields[local + k]! - zeros[g]!) * scales[g]!;
        }
        return;
      }
      const s = scales[cell - part.first]!;
      const z = zeros[cell - part.first]!;
      for (let k = 0; k < length; k++) into[at + k] = (fields[local + k]! - z) * s;
    });
  };
}

function matrixOf(stored: Stored, packed: Packed, rows: number): StoredMatrix | undefined {
  const { codes, scale, zero, groups, grid, bits, columns } = packed;
  const group = groupOfGrid(grid, columns);
  if (group === undefined) return undefined;
  const perRow = wordsOf(columns, bits);
  return {
    ...{ rows, columns, bits, group, transposed: false, indexed: groups !== undefined },
    with: zero ? "zeros" : "integers",
    scaleDtype: scaleDtype(scale),
    async read(first, count) {
      const words = await readWords(codes, first * perRow, count * perRow);
      const fields = new Uint8Array(count * columns);
      for (let row = 0; row < count; row++)
        unpack(words, row * perRow, bits, 0, columns, fields.subarray(row * columns, (row + 1) * columns));
      const points = (at: number, n: number) => zeroPoints(packed, { first: at, count: n });
      return {
        ...{ rows: count, columns, bits, group, codes: fields },
        scales: await scalesOfRows(stored, scale, grid, first, count),
        ...(zero && { zeros: await bytesOfRows(zero, grid, first, count, points) }),
        ...(groups && { groupOf: await groups() }),
      };
    },
  };
}

/** All scales of the rows of a range. */
const wholeRows = (grid: Grid, first: number, count: number, width: number): ScalePart => {
  const row = scaleRow(grid, Math.floor(first / width));
  const rows = scaleRow(grid, Math.floor((first + count - 1) / width)) + 1 - row;
  return { first: row * grid.columns, count: rows * grid.columns };
};

/** Zero points beside the scales of a part, raised as the codes are. */
async function zeroPoints({ zero, grid, bits }: Packed, { first, count }: ScalePart): Promise<Uint8Array> {
  const middle = 2 ** (bits - 1);
  if (zero === undefined) return new Uint8Array(count).fill(middle);
  if (zero.dtype === "I8") {
    const signed = new Int8Array((await readBytes(zero, first, count)).buffer);
    return Uint8Array.from(signed, (value) => value + middle);
  }
  const { columns } = grid;
  const [from, to] = [Math.floor(first / columns), Math.floor((first + count - 1) / columns)];
  const base = Math.floor((from * bits) / 32);
  const words = await readWords(zero, base * columns, (wordsOf(to + 1, bits) - base) * columns);
  const column = new Uint32Array(words.length / columns);
  const zeros = new Uint8Array(count);
  for (let g = 0; g < columns; g++) {
    for (let w = 0; w < column.length; w++) column[w] = words[w * columns + g]!;
    for (let row = from; row <= to; row++) {
      const at = row * columns + g - first;
      if (at >= 0 && at < count) zeros[at] = field(column, 0, row * bits - 32 * base, bits);
    }
  }
  return zeros;
}

export const layout: Layout = {
  name: NAME,
  methods: [COMPRESSED_TENSORS],
  find: (entry, stored) => (entry.name.endsWith(SUFFIX) && entry.dtype === "I32" ? find(entry, stored) : undefined),
};
