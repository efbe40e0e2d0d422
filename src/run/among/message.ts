/**
 * The bytes of a message between a server and its clients.
 *
 *   4 bytes   "IGM1"
 *   4 bytes   length of the header, little-endian
 *   header    JSON: kind, run, from, round, numbers, and of every tensor its name, dtype and count of values
 *   tensors   in the header's order, each from a multiple of 4 bytes on
 *   32 bytes  SHA-256 of all before; HMAC-SHA-256 where both sides have a key
 *
 * An int8 tensor is an f32 scale for every 256 values, the largest of which becomes 127, and then the values. Rounding
 * is to the nearest. One message always has the same bytes.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type Json, type JsonObject, parseJson, show } from "../../json.ts";
import { MESSAGE_DTYPES, type MessageDtype, type Numbers, type Parcel } from "./contract.ts";

export interface Message extends Parcel {
  /** What it is: "weights", "update" or another word of those who exchange it. */
  readonly kind: string;
  /** Tells runs apart. */
  readonly run: string;
  readonly from: string;
  readonly round: number;
}

export interface Writing {
  /** Of every tensor, or by its name. */
  readonly dtype?: MessageDtype | ((name: string) => MessageDtype);
  /** Known to both sides alone. */
  readonly key?: Uint8Array | undefined;
}

const MAGIC = new TextEncoder().encode("IGM1");
const SUM = 32;
/** Values that share a scale. */
const BLOCK = 256;

const padded = (bytes: number): number => Math.ceil(bytes / 4) * 4;

/** Bytes of `count` values. */
function bytesOf(dtype: MessageDtype, count: number): number {
  if (dtype === "int8") return 4 * Math.ceil(count / BLOCK) + padded(count);
  return dtype === "bf16" ? padded(2 * count) : 4 * count;
}

/** Nearest bf16, ties to even; of a value that is not NaN. */
function bf16Of(bits: number): number {
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Writes values at a place of a message. */
function put(values: Float32Array, dtype: MessageDtype, into: DataView, at: number): void {
  if (dtype === "f32") {
    for (let i = 0; i < values.length; i++) into.setFloat32(at + 4 * i, values[i]!, true);
  } else if (dtype === "bf16") {
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < bits.length; i++) into.setUint16(at + 2 * i, bf16Of(bits[i]!), true);
  } else {
    const codes = at + 4 * Math.ceil(values.length / BLOCK);
    for (let first = 0; first < values.length; first += BLOCK) {
      const block = values.subarray(first, first + BLOCK);
      const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const scale = Math.fround(largest / 127);
      into.setFloat32(at + (4 * first) / BLOCK, scale, true);
      for (const [i, value] of block.entries()) {
        const code = scale > 0 ? Math.round(value / scale) : 0;
        into.setInt8(codes + first + i, Math.max(-127, Math.min(127, code)));
      }
    }
  }
}

/** Reads values from a place of a message. */
function take(dtype: MessageDtype, count: number, from: DataView, at: number): Float32Array {
  const values = new Float32Array(count);
  if (dtype === "f32") for (let i = 0; i < count; i++) values[i] = from.getFloat32(at + 4 * i, true);
  else if (dtype === "bf16") {
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < count; i++) bits[i] = from.getUint16(at + 2 * i, true) << 16;
  } else {
    const codes = at + 4 * Math.ceil(count / BLOCK);
    for (let i = 0; i < count; i++)
      values[i] = from.getInt8(codes + i) * from.getFloat32(at + 4 * Math.floor(i / BLOCK), true);
  }
  return values;
}

/** The values as whoever reads the message finds them. */
export function asWritten(values: Float32Array, dtype: MessageDtype): Float32Array {
  const view = new DataView(new ArrayBuffer(bytesOf(dtype, values.length)));
  put(values, dtype, view, 0);
  return take(dtype, values.length, view, 0);
}

const sumOf = (bytes: Uint8Array, key: Uint8Array | undefined): Uint8Array =>
  (key ? createHmac("sha256", key) : createHash("sha256")).update(bytes).digest();

/** Writes a message. Throws UserError for a value that is not finite. */
export function encodeMessage(message: Message, { dtype = "f32", key }: Writing = {}): Uint8Array<ArrayBuffer> {
  const { kind, run, from, round, numbers, tensors } = message;
  refuseOdd(message);
  const dtypeOf = typeof dtype === "string" ? () => dtype : dtype;
  const list = [...tensors].map(([name, { length }]) => [name, dtypeOf(name), length]);
  const header = new TextEncoder().encode(JSON.stringify({ kind, run, from, round, numbers, tensors: list }));
  const start = padded(8 + header.length);
  const body = [...tensors].reduce((sum, [name, { length }]) => sum + bytesOf(dtypeOf(name), length), 0);
  const bytes = new Uint8Array(start + body + SUM);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(4, header.length, true);
  bytes.set(header, 8);
  let at = start;
  for (const [name, values] of tensors) {
    put(values, dtypeOf(name), view, at);
    at += bytesOf(dtypeOf(name), values.length);
  }
  bytes.set(sumOf(bytes.subarray(0, at), key), at);
  return bytes;
}

function refuseOdd({ from, numbers, tensors }: Message): void {
  const odd = Object.entries(numbers).find(([, value]) => !Number.isFinite(value));
  if (odd)
    throw new UserError(
      `${from}: ${odd[0]} is ${odd[1]}`,
      "lower --lr, add --warmup or --clip 1, or look at its rows",
      1,
    );
  for (const [name, values] of tensors)
    if (!values.every(Number.isFinite))
      throw new UserError(`${from}: ${name} is not finite after its steps`, "lower --lr, or add --clip 1", 1);
}

/**
 * Reads a message. Throws UserError that begins with `what` for one that is damaged, was changed on its way, or was
 * made with another key.
 */
export function decodeMessage(bytes: Uint8Array, what: string, key?: Uint8Array): Message {
  const damaged = (why: string) =>
    new UserError(`${what} ${why}`, "it was changed on its way, or is no message of a run");
  if (bytes.length < 8 + SUM || !MAGIC.every((byte, i) => bytes[i] === byte)) throw damaged("is no message");
  const end = bytes.length - SUM;
  if (!timingSafeEqual(sumOf(bytes.subarray(0, end), key), bytes.subarray(end)))
    throw damaged(key ? "is not signed with the run's key" : "does not match its checksum");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(4, true);
  if (8 + length > end) throw damaged("ends within its header");
  const header = parseJson(decodeText(bytes.subarray(8, 8 + length), what), what).value;
  if (!isObject(header)) throw damaged("has no header");
  const { kind, run, from, round, numbers } = header;
  if (typeof kind !== "string" || typeof run !== "string" || typeof from !== "string" || !isCount(round))
    throw damaged("says not who sent it");
  const tensors = new Map<string, Float32Array>();
  let at = padded(8 + length);
  for (const { name, dtype, count } of tensorsIn(header, damaged)) {
    const size = bytesOf(dtype, count);
    if (at + size > end) throw damaged(`ends within ${show(name)}`);
    tensors.set(name, take(dtype, count, view, at));
    at += size;
  }
  if (at !== end) throw damaged("is longer than its header says");
  return { kind, run, from, round, numbers: numbersIn(numbers, damaged), tensors };
}

const isCount = (value: Json | undefined): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function numbersIn(numbers: Json | undefined, damaged: (why: string) => UserError): Numbers {
  if (!isObject(numbers)) throw damaged("has no numbers");
  return Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => {
      if (typeof value !== "number") throw damaged(`has a ${show(name)} that is no number`);
      return [name, value];
    }),
  );
}

function tensorsIn(
  { tensors }: JsonObject,
  damaged: (why: string) => UserError,
): { name: string; dtype: MessageDtype; count: number }[] {
  if (!Array.isArray(tensors)) throw damaged("has no list of tensors");
  return tensors.map((entry) => {
    const [name, written, count] = Array.isArray(entry) ? entry : [];
    const dtype = MESSAGE_DTYPES.find((known) => known === written);
    if (typeof name !== "string" || dtype === undefined || !isCount(count)) throw damaged("has an odd list of tensors");
    return { name, dtype, count };
  });
}
