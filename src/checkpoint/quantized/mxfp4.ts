/**
 * MXFP4 experts as gpt-oss stores them: value * 2^(scale - 127). OCP Microscaling Formats 1.0.
 *
 * X_blocks is U8 (E, rows, cols / 32, 16), low nibble first, codes e2m1; X_scales U8 (E, rows, cols / 32), exponents
 * e8m0, of which 255 is NaN. Rows are outputs; the model's tensor X is the transpose, (E, cols, rows).
 */
import type { TensorEntry } from "../checkpoint.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import { E2M1 } from "./e2m1.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes } from "./read.ts";
import { nibbles } from "./scale-rows.ts";
import type { TakeBytes } from "./spare-arrays.ts";
import { type Rectangle, readColumns, rectangles } from "./strips.ts";

const NAME = "MXFP4";
const SUFFIX = "_blocks";
const GROUP = 32;
const GROUP_BYTES = 16;
/** Rows of the result that are written side by side. */
const ROWS = 8;

/** 2^(e - 127); kept in f64, since 2^128 times 0.5 is a number in f32. */
const POWERS = Float64Array.from({ length: 256 }, (_, e) => (e === 255 ? Number.NaN : 2 ** (e - 127)));

interface Strip {
  readonly from: number;
  /** Groups of columns in it. */
  readonly groups: number;
  readonly codes: Uint8Array;
  readonly scales: Uint8Array;
}

interface Experts {
  readonly codes: TensorEntry;
  readonly scales: TensorEntry;
  readonly rows: number;
  readonly columns: number;
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const stem = codes.name.slice(0, -SUFFIX.length);
  const scales = companion(stored, NAME, codes, `${stem}_scales`, ["U8"]);
  const [experts, rows, groups, bytes] = codes.shape as [number, number, number, number];
  if (codes.shape.length !== 4 || bytes !== GROUP_BYTES) {
    throw refusal(stored, NAME, `${described(codes)}; expected (experts, rows, groups, ${GROUP_BYTES})`);
  }
  expectShape(stored, NAME, scales, [experts, rows, groups]);
  const columns = GROUP * groups;
  return {
    ...{ layout: NAME, bits: 4, group: `groups of ${GROUP}`, name: stem, shape: [experts, columns, rows] },
    consumes: [codes.name, scales.name],
    decode: decoder(stored, { codes, scales, rows, columns }),
    matrix: matrixOf(stored, { codes, scales, rows, columns }, experts),
  };
}

const told = (stored: Stored, scales: TensorEntry, exponents: Uint8Array): void => {
  if (!exponents.includes(255)) return;
  stored.warn(`${stored.ref}: ${scales.name} holds a scale that is NaN (255), and so are its weights`);
};

/** As the codes lie: a row for every output of every expert. Powers of two are exact in bf16. */
function matrixOf(stored: Stored, { codes, scales, rows, columns }: Experts, experts: number): StoredMatrix {
  const form = { columns, bits: 4, group: GROUP };
  const groups = columns / GROUP;
  return {
    ...{ ...form, rows: experts * rows, transposed: true, with: "levels", indexed: false, scaleDtype: "BF16" },
    async read(first, count) {
      const exponents = await readBytes(scales, first * groups, count * groups);
      told(stored, scales, exponents);
      const bytes = await readBytes(codes, first * groups * GROUP_BYTES, count * groups * GROUP_BYTES);
      const factors = Float32Array.from(exponents, (exponent) => POWERS[exponent]!);
      return { ...form, rows: count, levels: E2M1, scales: factors, codes: nibbles(bytes, true) };
    },
  };
}

function decoder(stored: Stored, experts: Experts): Decoded["decode"] {
  const { codes, rows, columns } = experts;
  const width = stored.strips.width(columns, rows / 2, GROUP);
  const bytes = (width / GROUP) * (GROUP_BYTES + 1) * rows;
  return async (into, first) => {
    for (const rectangle of rectangles(first, into.length, rows)) {
      const end = rectangle.row + rectangle.rows;
      for (let row = rectangle.row; row < end; ) {
        const expert = Math.floor(row / columns);
        const from = Math.floor((row % columns) / width) * width;
        const key = `${codes.name}@${expert}:${from}`;
        const stop = Math.min(end, expert * columns + Math.min(columns, from + width));
        const at = rectangle.at + (row - rectangle.row) * rows;
        const block = { ...rectangle, row: row - expert * columns - from, rows: stop - row, at };
        await stored.strips.with(
          key,
          bytes,
          (take) => readStrip(stored, experts, { expert, from, most: width }, take),
          (strip) => fill(into, block, strip, rows),
        );
        row = stop;
      }
    }
  };
}

async function readStrip(
  stored: Stored,
  { codes, scales, rows, columns }: Experts,
  { expert, from, most }: { expert: number; from: number; most: number },
  take: TakeBytes,
): Promise<Strip> {
  const [first, all] = [from / GROUP, columns / GROUP];
  const groups = Math.min(most, columns - from) / GROUP;
  const part = (entry: TensorEntry, size: number) => {
    const rowBytes = all * size;
    return readColumns(
      entry,
      { rows, rowBytes, base: expert * rows * rowBytes },
      first * size,
      (first + groups) * size,
      take,
    );
  };
  const exponents = await part(scales, 1);
  told(stored, scales, exponents);
  return { from, groups, codes: await part(codes, GROUP_BYTES), scales: exponents };
}

/** Rows of the result (columns of the stored matrix) from `row` of the strip on. */
function fill(into: Float32Array, rectangle: Rectangle, { codes, scales, groups }: Strip, pitch: number): void {
  const { row, rows, column, columns, at } = rectangle;
  for (let block = row; block < row + rows; ) {
    const group = Math.floor(block / GROUP);
    const stop = Math.min(row + rows, block + ROWS, (group + 1) * GROUP);
    for (let r = column; r < column + columns; r++) {
      const scale = POWERS[scales[r * groups + group]!]!;
      const base = (r * groups + group) * GROUP_BYTES;
      let out = at + (block - row) * pitch + r - column;
      for (let c = block - group * GROUP; c < stop - group * GROUP; c++) {
        into[out] = E2M1[(codes[base + (c >> 1)]! >> ((c & 1) << 2)) & 15]! * scale;
        out += pitch;
      }
    }
    block = stop;
  }
}

export const layout: Layout = {
  name: NAME,
  methods: ["mxfp4"],
  find: (entry, stored) => (entry.name.endsWith(SUFFIX) && entry.dtype === "U8" ? find(entry, stored) : undefined),
};
