/**
 * AWQ in the GEMM packing: W[o, i] = scales[g, o] * (q - z), g = ⌊i / group⌋. Lin et al. 2023,
 * https://arxiv.org/abs/2306.00978.
 *
 * As AutoAWQ stores it: qweight I32 (i, o / 8) and qzeros I32 (groups, o / 8) with eight outputs to a word, nibble n
 * being output [0, 2, 4, 6, 1, 3, 5, 7][n] of its eight; scales (groups, o). Zero points stand as they are.
 */
import { show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { DTYPE_BYTES } from "../dtype.ts";
import { AWQ_SHIFTS } from "./awq-order.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import { groupSizeOf } from "./group-size.ts";
import type { StoredMatrix } from "./matrix.ts";
import { toldScales } from "./read.ts";
import { scaleDtype } from "./scale-rows.ts";
import type { TakeBytes } from "./spare-arrays.ts";
import { decodeStrips, type Rectangle, readColumns } from "./strips.ts";

const NAME = "AWQ";
const SUFFIX = ".qweight";

interface Awq {
  readonly codes: TensorEntry;
  readonly zeros: TensorEntry;
  readonly scales: TensorEntry;
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  readonly columns: number;
}

/** `words` columns of the stored matrices from row `from` of the weight on. */
interface Strip {
  readonly from: number;
  readonly words: number;
  readonly codes: Uint32Array;
  readonly zeros: Uint32Array;
  readonly scales: Float32Array;
}

/** Other packings are refused by name. */
function refuseOthers(stored: Stored): void {
  const { version, format, bits = 4, backend } = stored.settings ?? {};
  const hint = "pack it again as version gemm with AutoAWQ, or use the model it was quantized from";
  const packing = String(version ?? format ?? "gemm").toLowerCase();
  if (packing !== "gemm" || backend === "llm-awq") {
    const named = packing === "gemm" ? "llm-awq" : packing;
    throw refusal(stored, NAME, `its packing is ${show(named)}, which no decoder reads`, hint);
  }
  if (bits !== 4) throw refusal(stored, NAME, `its codes have ${show(JSON.stringify(bits))} bits, expected 4`, hint);
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  refuseOthers(stored);
  const stem = codes.name.slice(0, -SUFFIX.length);
  const zeros = companion(stored, NAME, codes, `${stem}.qzeros`, ["I32"]);
  const scales = companion(stored, NAME, codes, `${stem}.scales`, ["float"]);
  const [columns, words] = codes.shape as [number, number];
  const groups = scales.shape[0] ?? 0;
  const rows = 8 * words;
  if (codes.dtype !== "I32" || codes.shape.length !== 2)
    throw refusal(stored, NAME, `${described(codes)}; expected I32 of two sides`);
  expectShape(stored, NAME, scales, [groups, rows]);
  expectShape(stored, NAME, zeros, [groups, words]);
  const groupSize = groupSizeOf(stored, NAME, codes, { groups, inputs: columns });
  const awq = { codes, zeros, scales, groups, groupSize, rows, columns };
  return {
    ...{ layout: NAME, bits: 4, group: `groups of ${groupSize}`, name: `${stem}.weight`, shape: [rows, columns] },
    consumes: [codes.name, zeros.name, scales.name],
    decode: decoder(stored, awq),
    matrix: matrixOf(stored, awq),
  };
}

function decoder(stored: Stored, awq: Awq): Decoded["decode"] {
  const { codes, groups, rows, columns } = awq;
  const width = 8 * stored.strips.width(rows / 8, 4 * columns, 1);
  const bytes = (width / 8) * 4 * (columns + groups) + width * 4 * groups;
  return decodeStrips({
    ...{ strips: stored.strips, key: codes.name, columns, width, bytes },
    read: (from, take) => readStrip(stored, awq, from, width, take),
    fill: (into, block, strip) => fill(into, block, strip, awq),
  });
}

function matrixOf(stored: Stored, awq: Awq): StoredMatrix {
  const { scales, groups, groupSize: group, rows, columns } = awq;
  return {
    ...{ rows, columns, bits: 4, group, transposed: false, with: "zeros", indexed: false },
    scaleDtype: scaleDtype(scales),
    async read(first, count) {
      const from = 8 * Math.floor(first / 8);
      const width = 8 * Math.ceil((first + count - from) / 8);
      const strip = await readStrip(stored, awq, from, width, (bytes) => new Uint8Array(bytes));
      /** (count, width) out of words that hold eight rows each. */
      const turned = (words: Uint32Array, width: number) => {
        const fields = new Uint8Array(count * width);
        for (let r = 0; r < count; r++) {
          const [word, shift] = [(first - from + r) >> 3, AWQ_SHIFTS[(first - from + r) % 8]!];
          for (let k = 0; k < width; k++) fields[r * width + k] = (words[k * strip.words + word]! >>> shift) & 15;
        }
        return fields;
      };
      const factors = new Float32Array(count * groups);
      for (let r = 0; r < count; r++)
        for (let g = 0; g < groups; g++)
          factors[r * groups + g] = strip.scales[g * 8 * strip.words + first - from + r]!;
      return {
        ...{ rows: count, columns, bits: 4, group, scales: factors },
        codes: turned(strip.codes, columns),
        zeros: turned(strip.zeros, groups),
      };
    },
  };
}

async function readStrip(stored: Stored, awq: Awq, from: number, most: number, take: TakeBytes): Promise<Strip> {
  const { codes, zeros, scales, groups, rows, columns } = awq;
  const words = Math.min(most, rows - from) / 8;
  const wide = DTYPE_BYTES[scales.dtype];
  const packed = (entry: TensorEntry, height: number) =>
    readColumns(entry, { rows: height, rowBytes: rows / 2 }, from / 2, from / 2 + 4 * words, take);
  const rowBytes = rows * wide;
  const factors = await readColumns(scales, { rows: groups, rowBytes }, from * wide, (from + 8 * words) * wide, take);
  const floats = new Float32Array(take(4 * groups * 8 * words).buffer);
  return {
    ...{ from, words },
    codes: new Uint32Array((await packed(codes, columns)).buffer),
    zeros: new Uint32Array((await packed(zeros, groups)).buffer),
    scales: toldScales(stored, scales, decodeFloats(factors, scales.dtype, floats)),
  };
}

/** A block of rows inside a strip, eight rows at a time. */
function fill(into: Float32Array, rectangle: Rectangle, strip: Strip, { columns, groupSize }: Awq): void {
  const { codes, zeros, scales, words, from } = strip;
  const { row, rows, column, columns: count, at } = rectangle;
  const end = column + count;
  for (let o = row; o < row + rows; ) {
    const word = Math.floor((o - from) / 8);
    const first = (o - from) % 8;
    const high = Math.min(8, first + row + rows - o);
    for (let k = column; k < end; ) {
      const group = Math.floor(k / groupSize);
      const stop = Math.min(end, (group + 1) * groupSize);
      for (let r = first; r < high; r++) {
        const shift = AWQ_SHIFTS[r]!;
        const z = (zeros[group * words + word]! >>> shift) & 15;
        const s = scales[(group * words + word) * 8 + r]!;
        let out = at + (o - row + r - first) * columns + k - column;
        for (let c = k; c < stop; c++) into[out++] = (((codes[c * words + word]! >>> shift) & 15) - z) * s;
      }
      k = stop;
    }
    o += high - first;
  }
}

export const layout: Layout = {
  name: NAME,
  methods: ["awq"],
  find(entry, stored) {
    if (!entry.name.endsWith(SUFFIX)) return undefined;
    if (stored.method !== undefined) return stored.method === "awq" ? find(entry, stored) : undefined;
    const scales = stored.tensors.get(entry.name.replace(/qweight$/, "scales"));
    return scales !== undefined && scales.shape[1] === 8 * entry.shape[1]! ? find(entry, stored) : undefined;
  },
};
