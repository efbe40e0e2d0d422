/**
 * compressed-tensors mxfp4-pack-quantized: W = value * 2^(weight_scale - 127). OCP Microscaling Formats 1.0.
 *
 * weight_packed is U8 (o, i / 2), low nibble first, codes e2m1; weight_scale is U8 or F8_E8M0 (o, i / 32), exponents of
 * which 255 is NaN. https://github.com/vllm-project/compressed-tensors
 */
import type { TensorEntry } from "../checkpoint.ts";
import { COMPRESSED_TENSORS, refuseTransforms } from "./compressed-tensors.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import { E2M1 } from "./e2m1.ts";
import { eachRun, type Grid, scalePart } from "./grid.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes } from "./read.ts";
import { nibbles } from "./scale-rows.ts";

const NAME = "compressed-tensors MXFP4";
const SUFFIX = "_packed";
const GROUP = 32;
const BIAS = 127;

/**
 * Scales of the exponents [first, first + count), in f64: 2^127 times 6 is more than f32 holds, and times 0.5 is not.
 */
async function powers(stored: Stored, scale: TensorEntry, first: number, count: number): Promise<Float64Array> {
  const exponents = await readBytes(scale, first, count);
  if (exponents.includes(255)) {
    stored.warn(`${stored.ref}: ${scale.name} holds a scale that is NaN (255), and so are its weights`);
  }
  return Float64Array.from(exponents, (exponent) => (exponent === 255 ? Number.NaN : 2 ** (exponent - BIAS)));
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  refuseTransforms(stored);
  const stem = codes.name.slice(0, -SUFFIX.length);
  const [rows, bytes] = codes.shape as [number, number];
  const width = 2 * bytes;
  if (codes.shape.length !== 2 || width % GROUP !== 0) {
    throw refusal(stored, NAME, `${described(codes)}; expected rows of whole groups of ${GROUP}`);
  }
  const scale = companion(stored, NAME, codes, `${stem}_scale`, ["U8", "F8_E8M0"]);
  const columns = width / GROUP;
  expectShape(stored, NAME, scale, [rows, columns]);
  const text = `groups of ${GROUP}`;
  const grid: Grid = { matrixRows: rows, gridRows: rows, rowBlock: 1, columns, columnBlock: GROUP, text };
  return {
    ...{ layout: NAME, bits: 4, group: text, name: stem, shape: [rows, width] },
    consumes: [codes.name, scale.name],
    async decode(into, first) {
      const part = scalePart(grid, first, into.length, width);
      const from = Math.floor(first / 2);
      const packed = await readBytes(codes, from, Math.ceil((first + into.length) / 2) - from);
      const scales = await powers(stored, scale, part.first, part.count);
      const odd = first - 2 * from;
      eachRun(grid, first, into.length, width, (at, length, cell) => {
        const s = scales[cell - part.first]!;
        for (let k = at; k < at + length; k++) {
          const n = k + odd;
          into[k] = E2M1[(packed[n >> 1]! >> ((n & 1) << 2)) & 15]! * s;
        }
      });
    },
    matrix: matrixOf(stored, codes, scale, rows, columns),
  };
}

/** Powers of two are exact in bf16. */
function matrixOf(stored: Stored, codes: TensorEntry, scale: TensorEntry, rows: number, groups: number): StoredMatrix {
  const form = { columns: GROUP * groups, bits: 4, group: GROUP };
  return {
    ...{ ...form, rows, transposed: false, with: "levels", indexed: false, scaleDtype: "BF16" },
    async read(first, count) {
      const bytes = await readBytes(codes, (first * form.columns) / 2, (count * form.columns) / 2);
      const scales = Float32Array.from(await powers(stored, scale, first * groups, count * groups));
      return { ...form, rows: count, levels: E2M1, scales, codes: nibbles(bytes, true) };
    },
  };
}

export const layout: Layout = {
  name: NAME,
  methods: [COMPRESSED_TENSORS, "mxfp4"],
  find(entry, stored) {
    if (!entry.name.endsWith(SUFFIX) || entry.dtype !== "U8") return undefined;
    const scale = stored.tensors.get(`${entry.name.slice(0, -SUFFIX.length)}_scale`);
    return scale?.dtype === "U8" || scale?.dtype === "F8_E8M0" ? find(entry, stored) : undefined;
  },
};
