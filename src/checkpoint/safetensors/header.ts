/**
 * The safetensors header, both ways, without any input or output.
 *
 * A file is an 8-byte little-endian length N, N bytes of JSON, then the tensors' bytes. The JSON maps each name to
 * {dtype, shape, data_offsets}, with offsets relative to the end of the header, and `__metadata__` to strings. Format:
 * https://github.com/huggingface/safetensors#format. Nothing in a header is believed: see the rules in `parseHeader`.
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type Json, type JsonObject, parseJson, show } from "../../json.ts";
import type { TensorInfo } from "../checkpoint.ts";
import { DTYPE_BYTES, isDtype } from "../dtype.ts";

/** The longest header read or written, in bytes; the reference reader has the same limit. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Bytes before the JSON. */
export const PREFIX_BYTES = 8;
/** A header needs three levels; more leaves room for keys of later versions, which are ignored. */
const MAX_DEPTH = 16;
const DAMAGED = "the file is damaged or was not written by a safetensors writer; fetch or write it again";

/** A tensor and where its bytes begin, counted from the end of the header. */
export interface PlacedTensor extends TensorInfo {
  readonly begin: number;
}

export interface Header {
  /** In the order of their bytes. */
  readonly tensors: readonly PlacedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the tensors' bytes begin in the file, and how many they are. */
  readonly dataStart: number;
  readonly dataBytes: number;
  /** SHA-256 (hex) of the JSON, padding included. */
  readonly sha256: string;
}

const count = (n: number): string => n.toLocaleString("en-US");

/**
 * Length of the JSON, from the first 8 bytes of a file. `size` is the size of the file where it is known.
 * Throws UserError when the length is over the limit or the file ends before the header does.
 */
export function headerLength(prefix: Uint8Array, what: string, size?: number): number {
  if (prefix.length < PREFIX_BYTES) {
    throw new UserError(`${what} is ${count(prefix.length)} bytes long; a safetensors file has at least 10`, DAMAGED);
  }
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES) {
    throw new UserError(
      `${what} states a header of ${count(length)} bytes; at most ${count(MAX_HEADER_BYTES)} are read`,
      "this is not a safetensors file, or it is damaged",
    );
  }
  if (length < 2) throw new UserError(`${what} states a header of ${length} bytes; the shortest is 2`, DAMAGED);
  if (size !== undefined && PREFIX_BYTES + length > size) {
    throw new UserError(
      `${what} is cut short: its header ends at byte ${count(PREFIX_BYTES + length)} but the file at byte ${count(size)}`,
      DAMAGED,
    );
  }
  return length;
}

/**
 * Reads the JSON of a header. `size` is the size of the whole file where it is known (not for a stream); the data must
 * then end where the file does. What is read holds: names are unique and well-formed, dtypes known, shapes non-negative
 * integers whose product is exact, every tensor's bytes follow those of the one before, without hole or overlap.
 * Throws UserError that names `what` and the tensor otherwise.
 */
export function parseHeader(json: Uint8Array, what: string, size?: number): Header {
  if (json[0] !== 0x7b) throw new UserError(`${what}: header does not begin with {`, DAMAGED);
  const { value, keys } = parseJson(decodeText(json, `${what}: header`), `${what}: header`, MAX_DEPTH);
  if (!isObject(value)) throw new UserError(`${what}: header is not a JSON object`, DAMAGED);
  let metadata: ReadonlyMap<string, string> = new Map();
  const tensors: PlacedTensor[] = [];
  for (const name of keys) {
    if (name === "__metadata__") metadata = readMetadata(value[name]!, what);
    else tensors.push(readTensor(name, value[name]!, what));
  }
  const dataStart = PREFIX_BYTES + json.length;
  const dataBytes = checkLayout(tensors, what);
  if (size !== undefined && dataStart + dataBytes !== size) throw sizeError(tensors, dataStart, dataBytes, size, what);
  const sha256 = createHash("sha256").update(json).digest("hex");
  return { tensors, metadata, dataStart, dataBytes, sha256 };
}

/** Reads the header of a whole file held in memory. Throws as `headerLength` and `parseHeader` do. */
export function parseFile(bytes: Uint8Array, what: string): Header {
  const length = headerLength(bytes.subarray(0, PREFIX_BYTES), what, bytes.length);
  return parseHeader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length), what, bytes.length);
}

function readMetadata(value: Json, what: string): Map<string, string> {
  if (!isObject(value)) throw new UserError(`${what}: __metadata__ is not an object of strings`, DAMAGED);
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string" || !text.isWellFormed() || !key.isWellFormed()) {
      throw new UserError(`${what}: __metadata__ has a value under ${show(key)} that is not a string`, DAMAGED);
    }
    metadata.set(key, text);
  }
  return metadata;
}

const isCount = (value: Json | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);

function readTensor(name: string, value: Json, what: string): PlacedTensor {
  const place = `${what}: tensor ${show(name)}`;
  if (!name.isWellFormed()) throw new UserError(`${place} has a name that is not valid Unicode`, DAMAGED);
  if (!isObject(value)) throw new UserError(`${place} is not described by an object`, DAMAGED);
  const { dtype, shape, data_offsets: offsets }: JsonObject = value;
  if (typeof dtype !== "string") throw new UserError(`${place} has no dtype`, DAMAGED);
  if (!isDtype(dtype)) {
    throw new UserError(
      `${place} has dtype ${show(dtype)}, which is not supported`,
      `supported are ${Object.keys(DTYPE_BYTES).join(" ")}`,
    );
  }
  if (!Array.isArray(shape)) throw new UserError(`${place} has no shape`, DAMAGED);
  let bytes: number = DTYPE_BYTES[dtype];
  let empty = false;
  for (const side of shape) {
    if (!isCount(side)) {
      const found = show(JSON.stringify(side) ?? "");
      throw new UserError(`${place} has ${found} in its shape; expected integers from 0 to 2^53 - 1`, DAMAGED);
    }
    // A zero does not excuse an overflow beside it: the product must not depend on the order of the sides.
    if (side === 0) empty = true;
    else bytes *= side;
    if (bytes > Number.MAX_SAFE_INTEGER) {
      throw new UserError(`${place} has a shape of more than 2^53 bytes: (${shape.slice(0, 16).join(", ")})`, DAMAGED);
    }
  }
  if (empty) bytes = 0;
  if (!Number.isInteger(bytes)) {
    throw new UserError(
      `${place} fills ${bytes} bytes as ${dtype} (${shape.join(", ")}); a tensor fills whole ones`,
      DAMAGED,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !isCount(offsets[0]) || !isCount(offsets[1])) {
    throw new UserError(`${place} needs two valid data_offsets`, DAMAGED);
  }
  const [begin, end] = offsets as [number, number];
  if (end - begin !== bytes) {
    throw new UserError(
      `${place} takes ${count(bytes)} bytes as ${dtype} (${(shape as number[]).join(", ")}), but its data_offsets [${begin}, ${end}] span ${count(end - begin)}`,
      DAMAGED,
    );
  }
  return { name, dtype, shape: shape as number[], bytes, begin };
}

/** Puts tensors in the order of their bytes and checks that these are contiguous; gives their sum. */
function checkLayout(tensors: PlacedTensor[], what: string): number {
  // Empty tensors come before the one that begins where they do; the sort is stable, so equal ones keep the header's
  // order.
  tensors.sort((a, b) => a.begin - b.begin || a.bytes - b.bytes);
  let at = 0;
  let previous = "the header";
  for (const tensor of tensors) {
    const place = `${what}: tensor ${show(tensor.name)} begins at data byte ${count(tensor.begin)}`;
    if (tensor.begin < at) throw new UserError(`${place}, inside ${previous}, which ends at ${count(at)}`, DAMAGED);
    if (tensor.begin > at) {
      throw new UserError(`${place}, but ${previous} ends at ${count(at)}: a hole that belongs to no tensor`, DAMAGED);
    }
    at += tensor.bytes;
    previous = show(tensor.name);
  }
  if (!Number.isSafeInteger(at)) throw new UserError(`${what}: tensors take more than 2^53 bytes`, DAMAGED);
  return at;
}

function sizeError(tensors: readonly PlacedTensor[], start: number, bytes: number, size: number, what: string) {
  const end = start + bytes;
  if (size > end) {
    return new UserError(
      `${what} has ${count(size - end)} trailing bytes: its last tensor ends at byte ${count(end)}, the file at byte ${count(size)}`,
      DAMAGED,
    );
  }
  const torn = tensors.find((tensor) => start + tensor.begin + tensor.bytes > size);
  return new UserError(
    `${what} is cut short: tensor ${show(torn?.name ?? "")} ends at byte ${count(start + (torn?.begin ?? 0) + (torn?.bytes ?? 0))}, the file at byte ${count(size)} of ${count(end)}`,
    "the file was not copied or fetched completely; fetch it again",
  );
}

/**
 * The bytes of a file up to its first tensor: length, `__metadata__`, tensors in the order given with contiguous
 * offsets, spaces up to a multiple of 8. Throws UserError when that is longer than a reader accepts, RangeError on a
 * repeated name.
 */
export function encodeHeader(tensors: readonly TensorInfo[], metadata: ReadonlyMap<string, string>): Uint8Array {
  const parts: string[] = [];
  const names = new Set<string>(["__metadata__"]);
  // Written piece by piece: an object would move names such as "10" to the front and take "__proto__" for its
  // prototype.
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`);
    parts.push(`"__metadata__":{${pairs.join(",")}}`);
  }
  let at = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    if (names.has(name) || !name.isWellFormed())
      throw new RangeError(`tensor name ${show(name)} is invalid or repeated`);
    names.add(name);
    const offsets = `[${at},${at + bytes}]`;
    parts.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":${offsets}}`);
    at += bytes;
  }
  const json = new TextEncoder().encode(`{${parts.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new UserError(
      `The header would take ${count(length)} bytes; readers accept ${count(MAX_HEADER_BYTES)}`,
      "write a folder (-o name/), which keeps tokenizer and config as separate files",
    );
  }
  const out = new Uint8Array(PREFIX_BYTES + length).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(json, PREFIX_BYTES);
  return out;
}
