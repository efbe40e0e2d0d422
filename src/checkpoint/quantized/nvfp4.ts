/**
 * compressed-tensors nvfp4-pack-quantized: W = value * weight_scale / weight_global_scale.
 *
 * weight_packed is U8 (o, i / 2), low nibble first: four bits e2m1 (0 .5 1 1.5 2 3 4 6 and a sign). weight_scale is
 * F8_E4M3 (o, i / 16); the global scale divides. https://github.com/vllm-project/compressed-tensors
 */
import type { TensorEntry } from "../checkpoint.ts";
import { COMPRESSED_TENSORS, refuseTransforms } from "./compressed-tensors.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import { E2M1 } from "./e2m1.ts";
import { eachRun, type Grid, scalePart } from "./grid.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes, readFloats, readScales } from "./read.ts";
import { nibbles, scalesOfRows } from "./scale-rows.ts";

const NAME = "compressed-tensors NVFP4";
const SUFFIX = "_packed";
const GROUP = 16;

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  refuseTransforms(stored);
  const stem = codes.name.slice(0, -SUFFIX.length);
  const [rows, bytes] = codes.shape as [number, number];
  const width = 2 * bytes;
  if (codes.shape.length !== 2 || width % GROUP !== 0) {
    throw refusal(stored, NAME, `${described(codes)}; expected rows of whole groups of ${GROUP}`);
  }
  const scale = companion(stored, NAME, codes, `${stem}_scale`, ["F8_E4M3"]);
  const global = companion(stored, NAME, codes, `${stem}_global_scale`, ["float"]);
  expectShape(stored, NAME, scale, [rows, width / GROUP]);
  if (global.shape.some((side) => side !== 1)) expectShape(stored, NAME, global, [1]);
  const columns = width / GROUP;
  const grid = {
    matrixRows: rows,
    gridRows: rows,
    rowBlock: 1,
    columns,
    columnBlock: GROUP,
    text: `groups of ${GROUP}`,
  };
  return {
    ...{ layout: NAME, bits: 4, group: grid.text, name: stem, shape: [rows, width] },
    consumes: [codes.name, scale.name, global.name],
    decode: decoder(stored, codes, scale, global, grid, width),
    matrix: matrixOf(stored, { codes, scale, global }, grid, rows),
  };
}

/** Quotients of scales, which take f32. */
function matrixOf(
  stored: Stored,
  { codes, scale, global }: Readonly<Record<"codes" | "scale" | "global", TensorEntry>>,
  grid: Grid,
  rows: number,
): StoredMatrix {
  const columns = GROUP * grid.columns;
  const form = { columns, bits: 4, group: GROUP };
  return {
    ...{ ...form, rows, transposed: false, with: "levels", indexed: false, scaleDtype: "F32" },
    async read(first, count) {
      const bytes = await readBytes(codes, (first * columns) / 2, (count * columns) / 2);
      const scales = await scalesOfRows(stored, scale, grid, first, count);
      const divisor = await divisorOf(stored, global);
      for (const [i, value] of scales.entries()) scales[i] = value / divisor;
      return { ...form, rows: count, levels: E2M1, scales, divisor, codes: nibbles(bytes, true) };
    },
  };
}

async function divisorOf(stored: Stored, global: TensorEntry): Promise<number> {
  const divisor = (await readFloats(global, 0, 1))[0]!;
  if (!(divisor > 0) || !Number.isFinite(divisor)) {
    stored.warn(`${stored.ref}: ${global.name} is ${divisor}; expected a positive number`);
  }
  return divisor;
}

function decoder(
  stored: Stored,
  codes: TensorEntry,
  scale: TensorEntry,
  global: TensorEntry,
  grid: Grid,
  width: number,
): Decoded["decode"] {
  return async (into, first) => {
    const part = scalePart(grid, first, into.length, width);
    const from = Math.floor(first / 2);
    const bytes = await readBytes(codes, from, Math.ceil((first + into.length) / 2) - from);
    const scales = await readScales(stored, scale, part.first, part.count);
    const divisor = await divisorOf(stored, global);
    const odd = first - 2 * from;
    eachRun(grid, first, into.length, width, (at, length, cell) => {
      const s = Math.fround(scales[cell - part.first]! / divisor);
      for (let k = at; k < at + length; k++) {
        const n = k + odd;
        into[k] = E2M1[(bytes[n >> 1]! >> ((n & 1) << 2)) & 15]! * s;
      }
    });
  };
}

export const layout: Layout = {
  name: NAME,
  methods: [COMPRESSED_TENSORS],
  find: (entry, stored) => (entry.name.endsWith(SUFFIX) && entry.dtype === "U8" ? find(entry, stored) : undefined),
};
