/**
 * The header of a GGUF file: metadata and the table of tensors, from bytes.
 *
 * Nothing in it is believed. Every count is held against the bytes that the file has left before anything is made of
 * it, and a header has at most 100 MB and four million values. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Source } from "../source.ts";

/** Values are numbers, big integers (of 64 bits), texts, booleans and arrays of them. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** A line of the table of tensors. Sides stand as in the file, innermost first; offsets count from the data. */
export interface GgufTensorInfo {
  readonly name: string;
  readonly type: number;
  readonly sides: readonly bigint[];
  readonly offset: bigint;
}

export interface GgufHeader {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorInfo[];
  /** The bytes of the header, without the padding before the data. */
  readonly bytes: Uint8Array;
}

const MAX_HEADER_BYTES = 100_000_000;
/** Values in all arrays of the metadata together; the largest vocabulary has a quarter of a million tokens. */
const MAX_VALUES = 4_000_000;
/** Tensors, and entries of the metadata. */
const MAX_COUNT = 500_000;
/** ggml knows no tensor of more sides. */
const MAX_SIDES = 4;
const MAX_NESTING = 2;
/** Bytes read at first; doubled until the header is whole. */
const FIRST_READ = 1 << 20;

/** Least bytes that one takes in a header. */
const LEAST_BYTES = { tensors: 24, "metadata entries": 13 };
const DAMAGED = "the file is damaged; fetch it again";

/** The header needs more bytes than were read so far. */
class Short extends Error {}

/** Reads the header of an open file. Throws UserError, naming the file and the place, when it is damaged. */
export async function readGgufHeader(source: Source): Promise<GgufHeader> {
  for (let length = FIRST_READ; ; length *= 2) {
    const bytes = await source.start(Math.min(length, MAX_HEADER_BYTES));
    try {
      return parseGgufHeader(bytes, source.what, source.size);
    } catch (error) {
      if (!(error instanceof Short)) throw error;
    }
    if (bytes.length >= source.size) {
      throw new UserError(`${source.what} ends inside its header, at byte ${source.size}`, DAMAGED);
    }
    if (bytes.length >= MAX_HEADER_BYTES) {
      throw new UserError(`${source.what} has a header of more than ${MAX_HEADER_BYTES} bytes`, DAMAGED);
    }
  }
}

/** Parses the header from the first bytes of a file of `size` bytes. Throws UserError, or Short when bytes lack. */
export function parseGgufHeader(bytes: Uint8Array, what: string, size: number): GgufHeader {
  const reader = new Reader(bytes, what, size);
  const [tensorCount, entryCount] = readCounts(reader, what, size);
  const metadata = new Map<string, unknown>();
  for (let i = 0; i < entryCount; i++) {
    const key = reader.text();
    if (metadata.has(key)) throw new UserError(`${what} has the metadata key ${show(key)} twice`, DAMAGED);
    metadata.set(key, reader.value(reader.u32(), key, 0));
  }
  const tensors = Array.from({ length: tensorCount }, () => reader.tensor());
  return { metadata, tensors, bytes: bytes.subarray(0, reader.at) };
}

/** Magic, version and the two counts, refused when the file is too small for them. */
function readCounts(reader: Reader, what: string, size: number): [number, number] {
  if (size < 24) throw new UserError(`${what} is ${size} bytes long, too short for a GGUF file`, DAMAGED);
  if (reader.u32() !== 0x46554747) throw new UserError(`${what} does not begin with GGUF`, DAMAGED);
  const version = reader.u32();
  if (version === 0x02000000 || version === 0x03000000) {
    throw new UserError(`${what} is a big-endian GGUF file, expected little-endian`, "convert the model again");
  }
  if (version !== 2 && version !== 3) {
    throw new UserError(
      `${what} is GGUF version ${version}, expected 2 or 3 (little-endian)`,
      "convert the model again",
    );
  }
  const counts = (["tensors", "metadata entries"] as const).map((kind) => {
    const count = reader.u64();
    if (count * BigInt(LEAST_BYTES[kind]) > BigInt(size)) {
      throw new UserError(`${what} says it has ${count} ${kind}, more than fit into its ${size} bytes`, DAMAGED);
    }
    if (count > MAX_COUNT)
      throw new UserError(`${what} says it has ${count} ${kind}, expected up to ${MAX_COUNT}`, DAMAGED);
    return Number(count);
  });
  return [counts[0]!, counts[1]!];
}

/** Types of metadata values by number: bytes that one takes, and how it is read. Texts and arrays stand apart. */
const SCALARS: Record<number, { bytes: number; read(view: DataView, at: number): unknown }> = {
  0: { bytes: 1, read: (view, at) => view.getUint8(at) },
  1: { bytes: 1, read: (view, at) => view.getInt8(at) },
  2: { bytes: 2, read: (view, at) => view.getUint16(at, true) },
  3: { bytes: 2, read: (view, at) => view.getInt16(at, true) },
  4: { bytes: 4, read: (view, at) => view.getUint32(at, true) },
  5: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  6: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  7: { bytes: 1, read: (view, at) => view.getUint8(at) !== 0 },
  10: { bytes: 8, read: (view, at) => view.getBigUint64(at, true) },
  11: { bytes: 8, read: (view, at) => view.getBigInt64(at, true) },
  12: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
};
const TEXT = 8;
const ARRAY = 9;

class Reader {
  at = 0;
  #values = 0;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #what: string;
  readonly #size: number;

  constructor(bytes: Uint8Array, what: string, size: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#size = size;
  }

  /** The position of the next `count` bytes, which are then passed. */
  #take(count: number): number {
    const at = this.at;
    if (at + count > this.#bytes.length) throw new Short();
    this.at = at + count;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** A count of things that take at least `least` bytes each: never more than the file can hold. */
  #count(least: number, place: string): number {
    const count = this.u64();
    if (count * BigInt(least) > BigInt(this.#size - this.at)) {
      throw new UserError(
        `${this.#what}: ${place} says it has ${count} elements, more than fit into the file`,
        DAMAGED,
      );
    }
    return Number(count);
  }

  text(): string {
    const length = this.#count(1, "a text");
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  value(type: number, key: string, depth: number): unknown {
    const scalar = SCALARS[type];
    if (scalar !== undefined) return scalar.read(this.#view, this.#take(scalar.bytes));
    if (type === TEXT) return this.text();
    if (type !== ARRAY || depth === MAX_NESTING) {
      const found = type === ARRAY ? `arrays nested deeper than ${MAX_NESTING}` : `a value of type ${type}`;
      throw new UserError(`${this.#what}: ${show(key)} has ${found}`, DAMAGED);
    }
    const inner = this.u32();
    const length = this.#count(SCALARS[inner]?.bytes ?? (inner === ARRAY ? 12 : 8), show(key));
    this.#values += length;
    if (this.#values > MAX_VALUES) {
      throw new UserError(`${this.#what} has more than ${MAX_VALUES} values in its metadata, at ${show(key)}`, DAMAGED);
    }
    const values: unknown[] = [];
    for (let i = 0; i < length; i++) values.push(this.value(inner, key, depth + 1));
    return values;
  }

  tensor(): GgufTensorInfo {
    const name = this.text();
    const sides = this.u32();
    if (sides > MAX_SIDES) {
      throw new UserError(
        `${this.#what}: tensor ${show(name)} has ${sides} sides, expected up to ${MAX_SIDES}`,
        DAMAGED,
      );
    }
    const shape = Array.from({ length: sides }, () => this.u64());
    return { name, sides: shape, type: this.u32(), offset: this.u64() };
  }
}
