/**
 * MLX affine: W = q * scales + biases, per group of columns of a row.
 *
 * As mlx.core.quantize stores it (https://ml-explore.github.io/mlx): weight U32 (…, o, i b / 32), fields of b bits
 * along the row, low bits first (3, 5 and 6 bits cross words); scales and biases (…, o, i / group). `quantization` in
 * the config gives group_size and bits, with overrides by the module's path. Embeddings are quantised too.
 */
import { isObject, type Json, show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { unpack, wordsOf } from "./bits.ts";
import {
  companion,
  type Decoded,
  described,
  expectShape,
  type Layout,
  refusal,
  type Stored,
  spell,
} from "./contract.ts";
import { eachRun, type Grid, scalePart } from "./grid.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readScales, readWords } from "./read.ts";
import { scaleDtype, scalesOfRows } from "./scale-rows.ts";

const NAME = "MLX affine";
/** `method` of a config in MLX's form, which names none. */
export const MLX = "mlx";
const WIDTHS = [2, 3, 4, 5, 6, 8];

const isSize = (value: Json | undefined): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Bits and group size of a module; its own where the config has them. */
function schemeOf(stem: string, stored: Stored): { bits: number; group: number } | undefined {
  const own = stored.settings?.[stem];
  const of = (key: string) => (isObject(own) && own[key] !== undefined ? own[key] : stored.settings?.[key]);
  const mode = of("mode") ?? "affine";
  if (mode !== "affine") {
    const hint = "dequantize it with mlx_lm.convert first, or use the model it was quantized from";
    throw refusal(stored, "MLX", `its mode is ${show(JSON.stringify(mode))}, which no decoder reads`, hint);
  }
  const [bits, group] = [of("bits"), of("group_size")];
  return isSize(bits) && WIDTHS.includes(bits) && isSize(group) ? { bits, group } : undefined;
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const stem = codes.name.replace(/\.weight$/, "");
  const scheme = schemeOf(stem, stored);
  if (scheme === undefined) {
    const hint = "expected `quantization` with group_size and bits (2, 3, 4, 5, 6 or 8) in config.json";
    throw refusal(stored, NAME, `no config says how many bits ${described(codes)} has`, hint);
  }
  const { bits, group } = scheme;
  const scales = companion(stored, NAME, codes, `${stem}.scales`, ["float"]);
  const biases = companion(stored, NAME, codes, `${stem}.biases`, ["float"]);
  const words = codes.shape.at(-1)!;
  const width = Math.floor((32 * words) / bits);
  const lead = codes.shape.slice(0, -1);
  const columns = Math.ceil(width / group);
  if (codes.shape.length < 2 || wordsOf(width, bits) !== words) {
    throw refusal(stored, NAME, `${described(codes)} is no packing in ${bits} bits`);
  }
  if (scales.shape.at(-1) !== columns) {
    const found = `${described(codes)} is ${spell([...lead, width])} in ${bits} bits`;
    throw refusal(stored, NAME, `${found}, but ${described(scales)} is not of groups of ${group}`);
  }
  expectShape(stored, NAME, scales, [...lead, columns]);
  expectShape(stored, NAME, biases, [...lead, columns]);
  const rows = lead.reduce((a, b) => a * b, 1);
  const grid = {
    matrixRows: rows,
    gridRows: rows,
    rowBlock: 1,
    columns,
    columnBlock: group,
    text: `groups of ${group}`,
  };
  const affine = { codes, scales, biases, grid, bits, width };
  return {
    ...{ layout: NAME, bits, group: grid.text, name: codes.name, shape: [...lead, width] },
    consumes: [codes.name, scales.name, biases.name],
    decode: decoder(stored, affine),
    matrix: matrixOf(stored, affine, rows),
  };
}

interface Affine {
  readonly codes: TensorEntry;
  readonly scales: TensorEntry;
  readonly biases: TensorEntry;
  readonly grid: Grid;
  readonly bits: number;
  readonly width: number;
}

function decoder(stored: Stored, { codes, scales, biases, grid, bits, width }: Affine): Decoded["decode"] {
  const perRow = wordsOf(width, bits);
  return async (into, first) => {
    const part = scalePart(grid, first, into.length, width);
    const factors = await readScales(stored, scales, part.first, part.count);
    const offsets = await readScales(stored, biases, part.first, part.count);
    const last = first + into.length - 1;
    const from = Math.floor(first / width) * perRow + Math.floor(((first % width) * bits) / 32);
    const to = Math.floor(last / width) * perRow + wordsOf((last % width) + 1, bits);
    const words = await readWords(codes, from, to - from);
    const fields = new Uint8Array(Math.min(width, into.length));
    let [unpacked, begin] = [-1, 0];
    eachRun(grid, first, into.length, width, (at, length, cell, row, column) => {
      if (row !== unpacked) {
        const count = Math.min(width - column, into.length - at);
        unpack(words, row * perRow - from, bits, column, count, fields);
        [unpacked, begin] = [row, column];
      }
      const local = column - begin;
      const s = factors[cell - part.first]!;
      const b = offsets[cell - part.first]!;
      for (let k = 0; k < length; k++) into[at + k] = Math.fround(fields[local + k]! * s) + b;
    });
  };
}

function matrixOf(stored: Stored, { codes, scales, biases, grid, bits, width }: Affine, rows: number): StoredMatrix {
  const perRow = wordsOf(width, bits);
  const form = { columns: width, bits, group: grid.columnBlock };
  return {
    ...{ ...form, rows, transposed: false, with: "offsets", indexed: false, scaleDtype: scaleDtype(scales, biases) },
    async read(first, count) {
      const words = await readWords(codes, first * perRow, count * perRow);
      const fields = new Uint8Array(count * width);
      for (let row = 0; row < count; row++)
        unpack(words, row * perRow, bits, 0, width, fields.subarray(row * width, (row + 1) * width));
      return {
        ...{ ...form, rows: count, codes: fields },
        scales: await scalesOfRows(stored, scales, grid, first, count),
        offsets: await scalesOfRows(stored, biases, grid, first, count),
      };
    },
  };
}

export const layout: Layout = {
  name: NAME,
  methods: [MLX],
  find(entry, stored) {
    const isCodes = entry.dtype === "U32" && entry.name.endsWith(".weight");
    return isCodes && stored.tensors.has(entry.name.replace(/weight$/, "scales")) ? find(entry, stored) : undefined;
  },
};
