/**
 * GPTQ: W[o, i] = scales[g, o] * (q - z), g = g_idx[i]. Frantar et al. 2022, https://arxiv.org/abs/2210.17323.
 *
 * As AutoGPTQ and GPTQModel store it: qweight I32 (⌈i b / 32⌉, o), fields of b bits down the input, low bits first
 * (3-bit fields cross words); qzeros I32 (groups, ⌈o b / 32⌉), fields along a row, which hold z - 1 in the first format
 * (`checkpoint_format` gptq) and z in `gptq_v2`; scales (groups, o); g_idx I32 (i), in any order after act-order.
 */
import { isObject, show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { DTYPE_BYTES } from "../dtype.ts";
import { field, wordsOf } from "./bits.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import { groupIndex } from "./group-index.ts";
import { groupSizeOf } from "./group-size.ts";
import type { StoredMatrix } from "./matrix.ts";
import { toldScales } from "./read.ts";
import { scaleDtype } from "./scale-rows.ts";
import type { TakeBytes } from "./spare-arrays.ts";
import { decodeStrips, type Rectangle, readColumns } from "./strips.ts";

const NAME = "GPTQ";
const SUFFIX = ".qweight";
const WIDTHS = [4, 8, 3, 2];
/** Rows that are written side by side: more would meet in the same lines of the cache. */
const ROWS = 8;

interface Gptq {
  readonly codes: TensorEntry;
  readonly zeros: TensorEntry;
  readonly scales: TensorEntry;
  readonly index: TensorEntry | undefined;
  readonly bits: number;
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  readonly columns: number;
  /** Added to stored zero points. */
  readonly raise: 0 | 1;
}

/** Columns [from, to) of the stored matrices, which are rows of the weight. */
interface Strip {
  readonly from: number;
  readonly width: number;
  readonly codes: Uint32Array;
  readonly scales: Float32Array;
  readonly zeros: Float32Array;
  readonly groupOf: Int32Array;
}

/** Formats that are laid out otherwise are refused by name; 1 for the first format, which stores z - 1. */
function raiseOf(stored: Stored): 0 | 1 {
  const { settings } = stored;
  if (settings === undefined) {
    stored.warn(`${stored.ref}: no config says how its GPTQ zero points are stored; read as the first format (z - 1)`);
  }
  const format = settings?.is_marlin_format === true ? "marlin" : (settings?.checkpoint_format ?? "gptq");
  if (format === "gptq") return 1;
  if (format === "gptq_v2") return 0;
  const hint = "convert it to checkpoint_format gptq with GPTQModel, or use the model it was quantized from";
  throw refusal(stored, NAME, `its checkpoint_format is ${show(JSON.stringify(format))}, which no decoder reads`, hint);
}

/** Bits that fit both packings; those of the config where they do. */
function bitsOf(codes: TensorEntry, zeros: TensorEntry, outputs: number, inputs: number | undefined, stored: Stored) {
  const fits = (bits: number) =>
    wordsOf(outputs, bits) === zeros.shape[1] && (inputs === undefined || wordsOf(inputs, bits) === codes.shape[0]);
  const stated = stored.settings?.bits;
  const found = WIDTHS.filter(fits);
  const bits = typeof stated === "number" && found.includes(stated) ? stated : found[0];
  if (bits !== undefined) return bits;
  const said = stated === undefined ? "" : `; the config states ${show(JSON.stringify(stated))}`;
  throw refusal(stored, NAME, `${described(codes)} and ${described(zeros)} are no packing in 2, 3, 4 or 8 bits${said}`);
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const stem = codes.name.slice(0, -SUFFIX.length);
  const raise = raiseOf(stored);
  const zeros = companion(stored, NAME, codes, `${stem}.qzeros`, ["I32"]);
  const scales = companion(stored, NAME, codes, `${stem}.scales`, ["float"]);
  const [words, rows] = codes.shape as [number, number];
  const groups = scales.shape[0]!;
  if (codes.dtype !== "I32" || codes.shape.length !== 2)
    throw refusal(stored, NAME, `${described(codes)}; expected I32 of two sides`);
  expectShape(stored, NAME, scales, [groups, rows]);
  if (zeros.shape.length !== 2 || zeros.shape[0] !== groups) {
    throw refusal(stored, NAME, `${described(zeros)}; expected ${groups} rows, as ${scales.name} has`);
  }
  const index = stored.tensors.has(`${stem}.g_idx`)
    ? companion(stored, NAME, codes, `${stem}.g_idx`, ["I32"])
    : undefined;
  const bits = bitsOf(codes, zeros, rows, index?.shape[0], stored);
  const columns = index?.shape[0] ?? Math.floor((words * 32) / bits);
  const groupSize = index ? 0 : groupSizeOf(stored, NAME, codes, { groups, inputs: columns });
  if (index && stored.seekable) await groupIndex(stored, NAME, index, columns, groups);
  const text = `groups of ${groupSize || groupText(stored, columns, groups)}`;
  const actOrder = isObject(stored.settings) && stored.settings.desc_act === true ? ", act-order" : "";
  const gptq = { codes, zeros, scales, index, bits, groups, groupSize, rows, columns, raise };
  return {
    ...{ layout: NAME, bits, group: text + actOrder, name: `${stem}.weight`, shape: [rows, columns] },
    consumes: [codes, zeros, scales, index].flatMap((entry) => entry?.name ?? []),
    decode: decoder(stored, gptq),
    matrix: matrixOf(stored, gptq),
  };
}

const groupText = ({ settings }: Stored, columns: number, groups: number): number =>
  typeof settings?.group_size === "number" && Math.ceil(columns / settings.group_size) === groups
    ? settings.group_size
    : Math.ceil(columns / groups);

function decoder(stored: Stored, gptq: Gptq): Decoded["decode"] {
  const { codes, groups, rows, columns } = gptq;
  const words = codes.shape[0]!;
  const width = stored.strips.width(rows, 4 * words, 32);
  const bytes = width * (4 * words + 8 * groups) + 4 * columns;
  return decodeStrips({
    ...{ strips: stored.strips, key: codes.name, columns, width, bytes },
    read: (from, take) => readStrip(stored, gptq, from, width, take),
    fill: (into, block, strip) => fill(into, block, strip, gptq),
  });
}

/** Under an index the size of groups says no more than how many there are; undefined where no size does. */
function matrixOf(stored: Stored, gptq: Gptq): StoredMatrix | undefined {
  const { rows, columns, bits, groups, scales, index } = gptq;
  const group = gptq.groupSize || Math.ceil(columns / groups);
  if (Math.ceil(columns / group) !== groups) return undefined;
  const form = { columns, bits, group };
  return {
    ...{ ...form, rows, transposed: false, with: "zeros", indexed: index !== undefined },
    scaleDtype: scaleDtype(scales),
    async read(first, count) {
      const from = Math.floor(first / 32) * 32;
      const strip = await readStrip(stored, gptq, from, first + count - from, (bytes) => new Uint8Array(bytes));
      const codes = new Uint8Array(count * columns);
      const mask = 2 ** bits - 1;
      for (let k = 0; k < columns; k++) {
        const [low, shift] = [((k * bits) >>> 5) * strip.width + first - from, (k * bits) & 31];
        const crosses = shift + bits > 32;
        for (let r = 0; r < count; r++) {
          const high = crosses ? strip.codes[low + strip.width + r]! << (32 - shift) : 0;
          codes[r * columns + k] = ((strip.codes[low + r]! >>> shift) | high) & mask;
        }
      }
      const turned = <T extends Float32Array | Uint8Array>(table: Float32Array, into: T): T => {
        for (let r = 0; r < count; r++)
          for (let g = 0; g < groups; g++) into[r * groups + g] = table[g * strip.width + first - from + r]!;
        return into;
      };
      return {
        ...{ ...form, rows: count, codes },
        scales: turned(strip.scales, new Float32Array(count * groups)),
        zeros: turned(strip.zeros, new Uint8Array(count * groups)),
        ...(index && { groupOf: strip.groupOf }),
      };
    },
  };
}

async function readStrip(stored: Stored, gptq: Gptq, from: number, most: number, take: TakeBytes): Promise<Strip> {
  const { codes, zeros, scales, index, bits, groups, groupSize, rows, columns, raise } = gptq;
  const width = Math.min(most, rows - from);
  const wide = DTYPE_BYTES[scales.dtype];
  const table = (entry: TensorEntry, size: number, begin: number, end: number) => {
    const stored = { rows: entry.shape[0]!, rowBytes: entry.shape[1]! * size };
    return readColumns(entry, stored, begin * size, end * size, take);
  };
  const packed = await table(codes, 4, from, from + width);
  const floats = new Float32Array(take(4 * groups * width).buffer);
  decodeFloats(await table(scales, wide, from, from + width), scales.dtype, floats);
  const firstWord = (from * bits) / 32; // whole: strips begin at multiples of 32 rows
  const lastWord = wordsOf(from + width, bits);
  const zeroWords = new Uint32Array((await table(zeros, 4, firstWord, lastWord)).buffer);
  const points = new Float32Array(take(4 * groups * width).buffer);
  const mask = 2 ** bits - 1;
  for (let g = 0; g < groups; g++) {
    const base = g * (lastWord - firstWord);
    for (let o = 0; o < width; o++) points[g * width + o] = (field(zeroWords, base, o * bits, bits) + raise) & mask;
  }
  const groupOf = index
    ? await groupIndex(stored, NAME, index, columns, groups)
    : Int32Array.from({ length: columns }, (_, column) => Math.floor(column / groupSize));
  toldScales(stored, scales, floats);
  return { from, width, codes: new Uint32Array(packed.buffer), scales: floats, zeros: points, groupOf };
}

/** A block of rows inside a strip. Reads run along the strip's rows, writes down `ROWS` rows of the weight. */
function fill(into: Float32Array, rectangle: Rectangle, strip: Strip, { bits, columns }: Gptq): void {
  const { codes, scales, zeros, groupOf, width } = strip;
  const { row, rows, column, columns: count, at } = rectangle;
  const mask = 2 ** bits - 1;
  for (let block = 0; block < rows; block += ROWS) {
    const high = Math.min(ROWS, rows - block);
    const first = row + block - strip.from;
    const target = at + block * columns;
    for (let k = column; k < column + count; k++) {
      const bit = k * bits;
      const shift = bit & 31;
      const low = (bit >>> 5) * width + first;
      const scale = groupOf[k]! * width + first;
      const out = target + k - column;
      if (shift + bits <= 32) {
        for (let r = 0; r < high; r++) {
          const q = (codes[low + r]! >>> shift) & mask;
          into[out + r * columns] = (q - zeros[scale + r]!) * scales[scale + r]!;
        }
      } else {
        for (let r = 0; r < high; r++) {
          const q = ((codes[low + r]! >>> shift) | (codes[low + width + r]! << (32 - shift))) & mask;
          into[out + r * columns] = (q - zeros[scale + r]!) * scales[scale + r]!;
        }
      }
    }
  }
}

export const layout: Layout = {
  name: NAME,
  methods: ["gptq"],
  find(entry, stored) {
    if (!entry.name.endsWith(SUFFIX) || (stored.method !== undefined && stored.method !== "gptq")) return undefined;
    const scales = stored.tensors.get(entry.name.replace(/qweight$/, "scales"));
    // Without a config the shapes tell it from AWQ, which packs along the outputs.
    const awq = stored.method === undefined && scales !== undefined && scales.shape[1] === 8 * entry.shape[1]!;
    return awq ? undefined : find(entry, stored);
  },
};
