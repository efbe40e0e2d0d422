/**
 * Turns the bytes of a checkpoint's tensors, which come in any pieces, into those of a GGUF file: another type, blocks,
 * and llama.cpp's order of rotary pairs. Holds a row at a time, or the rows of a head where these change places.
 */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import type { TensorInfo } from "../../checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../dtype.ts";
import { aligned } from "./encode-header.ts";
import type { GgufLayout, Route } from "./layout.ts";
import { storedBytes, type TargetName, targetOf } from "./targets.ts";

/** Bytes and where in the file they go. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** Values that are converted at a time, where rows are shorter. */
const CHUNK = 1 << 18;

const PLAIN: Partial<Record<TargetName, Dtype>> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** An encoder of one file. Tensors come whole, one after the other, each from its first byte on. */
export function ggufEncoder(layout: GgufLayout) {
  let held = new Uint8Array(0);
  return function* encode(tensor: TensorInfo, offset: number, bytes: Uint8Array): Generator<Piece> {
    const route = layout.routes.get(tensor.name);
    if (route === undefined) return;
    const width = DTYPE_BYTES[tensor.dtype];
    const whole = unitOf(tensor, route) * width;
    const { length: before } = held;
    const joined = before === 0 ? bytes : Buffer.concat([held, bytes]);
    const usable = Math.floor(joined.length / whole) * whole;
    const most = Math.max(1, Math.floor((CHUNK * width) / whole)) * whole;
    for (let at = 0; at < usable; at += most) {
      const piece = joined.subarray(at, Math.min(usable, at + most));
      yield { bytes: converted(tensor, route, piece), at: placeOf(tensor, route, offset - before + at) };
    }
    held = new Uint8Array(joined.subarray(usable)); // a copy: the caller may change its bytes
    const ends = offset + bytes.length === tensor.bytes && route.part === route.parts - 1;
    const { begin, bytes: stored } = route.stored;
    if (ends && stored % 32 !== 0) yield { bytes: new Uint8Array(aligned(stored) - stored), at: begin + stored };
  };
}

/** Values that are converted together: one row, or the rows of a head. */
function unitOf({ shape }: TensorInfo, { headRows }: Route): number {
  const width = shape.length > 1 ? shape.at(-1)! : headRows === undefined ? shape[0]! : 1;
  return width * (headRows ?? 1);
}

/** Where in the file the value at byte `offset` of a tensor goes. */
function placeOf({ shape, dtype }: TensorInfo, { stored, part }: Route, offset: number): number {
  const count = shape.reduce((all, side) => all * side, 1);
  return stored.begin + storedBytes(stored.type, part * count + offset / DTYPE_BYTES[dtype]);
}

/** Whole units as the file has them. Throws UserError (exit 1) for values that the type cannot hold. */
function converted(tensor: TensorInfo, route: Route, bytes: Uint8Array): Uint8Array {
  const { type } = route.stored;
  const plain = PLAIN[type];
  if (plain === tensor.dtype && route.headRows === undefined && !route.gain) return bytes;
  const values = decodeFloats(bytes, tensor.dtype);
  if (route.gain) for (let i = 0; i < values.length; i++) values[i]! += 1;
  const ordered = route.headRows === undefined ? values : paired(values, route.headRows, unitOf(tensor, route));
  if (plain !== undefined) {
    if (plain === "F16" && tensor.dtype !== "F16") refuse(ordered, tensor, type, 65519.99);
    return encodeFloats(ordered, plain);
  }
  refuse(ordered, tensor, type, Number.MAX_VALUE);
  const { quantizer } = targetOf(type);
  const count = ordered.length / quantizer!.weights;
  const out = new Uint8Array(count * quantizer!.bytes);
  quantizer!.quantize(ordered, count, out, route.columns);
  return out;
}

/**
 * Puts the rows of every head in llama.cpp's order: rotary embedding pairs row i with row i + D/2 at Hugging Face and
 * row 2i with row 2i + 1 at llama.cpp.
 */
export function paired(values: Float32Array, headRows: number, unit: number): Float32Array {
  const out = new Float32Array(values.length);
  const [half, width] = [headRows / 2, unit / headRows];
  for (let head = 0; head < values.length; head += unit) {
    for (let row = 0; row < headRows; row++) {
      const to = row < half ? 2 * row : 2 * (row - half) + 1;
      out.set(values.subarray(head + row * width, head + (row + 1) * width), head + to * width);
    }
  }
  return out;
}

/** Throws UserError for the first value beyond `most`, or one that is not a number. */
function refuse(values: Float32Array, tensor: TensorInfo, type: TargetName, most: number): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) <= most || (type === "f16" && !Number.isFinite(value))) continue;
    throw new UserError(
      `tensor ${show(tensor.name)} has the value ${value}, which ${type} cannot hold`,
      Number.isFinite(value)
        ? "write --gguf-type bf16"
        : "bun run inspect MODEL --check names the tensors that are damaged",
      1,
    );
  }
}
