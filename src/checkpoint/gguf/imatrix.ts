/**
 * Importance matrices in llama.cpp's GGUF form: for every matrix of a model the sum of the squares of each column's
 * activations, `NAME.in_sum2` (matrices, columns), and how many tokens they are of, `NAME.counts` (matrices, 1). A
 * tensor of several experts has as many matrices. https://github.com/ggml-org/llama.cpp/tree/master/tools/imatrix
 */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { TensorInfo } from "../checkpoint.ts";
import { openError } from "../source.ts";
import { alignmentOf } from "./gguf.ts";
import { parseGgufHeader } from "./header.ts";
import { type GgufEntries, text, u32 } from "./write/encode-header.ts";

/** What was measured of one tensor. */
export interface ColumnSquares {
  readonly columns: number;
  /** (matrices, columns) */
  readonly sums: Float32Array;
  /** Tokens of each matrix. */
  readonly counts: Float32Array;
}

/** What was measured, by the names of the file. */
export interface Imatrix {
  readonly of: ReadonlyMap<string, ColumnSquares>;
  /** Names of the rows that it was measured on. */
  readonly datasets: readonly string[];
  /** Sequences, and tokens of the longest. */
  readonly chunks: number;
  readonly chunkSize: number;
}

const SUMS = ".in_sum2";
const COUNTS = ".counts";

/** Metadata and tensors of a file, and the values of each. */
export function imatrixContents({ of, datasets, chunks, chunkSize }: Imatrix) {
  const entries: GgufEntries = new Map();
  entries.set("general.type", text("imatrix"));
  entries.set("imatrix.datasets", { type: "texts", value: datasets });
  entries.set("imatrix.chunk_count", u32(chunks));
  entries.set("imatrix.chunk_size", u32(chunkSize));
  const values = new Map<string, Float32Array>();
  const tensors: TensorInfo[] = [];
  const put = (name: string, shape: readonly number[], data: Float32Array) => {
    values.set(name, data);
    tensors.push({ name, dtype: "F32", shape, bytes: data.byteLength });
  };
  for (const [name, { columns, sums, counts }] of of) {
    put(`${name}${SUMS}`, [counts.length, columns], sums);
    put(`${name}${COUNTS}`, [counts.length, 1], counts);
  }
  return { entries, tensors, values };
}

/** Reads a file whole. Throws UserError where it is no importance matrix, or its parts do not fit each other. */
export function readImatrix(file: string): Imatrix {
  let bytes: Uint8Array;
  try {
    bytes = fs.readFileSync(file);
  } catch (error) {
    throw openError(error as NodeJS.ErrnoException, file);
  }
  if (Buffer.from(bytes.subarray(0, 4)).toString("latin1") !== "GGUF") {
    throw new UserError(
      `${file} is not in the GGUF form of importance matrices`,
      "make one with bun run evaluate imatrix, or convert it: llama-imatrix --in-file old.dat --output-format gguf",
    );
  }
  const { metadata, tensors, bytes: head } = parseGgufHeader(bytes, file, bytes.length);
  if (metadata.get("general.type") !== "imatrix") {
    throw new UserError(`${file} is a GGUF file, but no importance matrix`, "make one with bun run evaluate imatrix");
  }
  const alignment = alignmentOf(metadata, file);
  const begin = Math.ceil(head.length / alignment) * alignment;
  const read = new Map<string, { values: Float32Array; sides: readonly number[] }>();
  for (const { name, type, sides, offset } of tensors) {
    const count = sides.reduce((all, side) => all * side, 1n);
    const from = BigInt(begin) + offset;
    if (type !== 0 || from + 4n * count > BigInt(bytes.length)) {
      throw new UserError(
        `${file}: tensor ${show(name)} is cut short or not F32`,
        "the file is damaged; make it again",
      );
    }
    const values = new Float32Array(Uint8Array.from(bytes.subarray(Number(from), Number(from + 4n * count))).buffer);
    read.set(name, { values, sides: sides.map(Number) });
  }
  return {
    of: squaresOf(read, file),
    datasets: [metadata.get("imatrix.datasets") ?? []].flat().map(String),
    chunks: Number(metadata.get("imatrix.chunk_count") ?? 0),
    chunkSize: Number(metadata.get("imatrix.chunk_size") ?? 0),
  };
}

function squaresOf(
  read: ReadonlyMap<string, { values: Float32Array; sides: readonly number[] }>,
  file: string,
): Map<string, ColumnSquares> {
  const found = new Map<string, ColumnSquares>();
  for (const [whole, { values: sums, sides }] of read) {
    if (!whole.endsWith(SUMS)) continue;
    const name = whole.slice(0, -SUMS.length);
    const counts = read.get(`${name}${COUNTS}`)?.values;
    const columns = sides[0] ?? 0;
    const bad = sums.findIndex((x) => !(x >= 0 && Number.isFinite(x)));
    if (counts === undefined || columns === 0 || sums.length !== columns * counts.length || bad >= 0) {
      const what = bad >= 0 ? `has the value ${sums[bad]}` : `does not fit ${show(`${name}${COUNTS}`)}`;
      throw new UserError(`${file}: ${show(whole)} ${what}`, "the file is damaged; make it again");
    }
    found.set(name, { columns, sums, counts });
  }
  if (found.size > 0) return found;
  throw new UserError(`${file} has statistics of no tensor`, "make it again with bun run evaluate imatrix");
}

/** Means of the squares of one matrix's columns; undefined where no token met it. */
export function meansOf({ columns, sums, counts }: ColumnSquares, part: number): Float32Array | undefined {
  const count = counts[part]!;
  return count > 0 ? sums.subarray(part * columns, (part + 1) * columns).map((sum) => sum / count) : undefined;
}
