/** What the engine calls a tensor: a shape over a place in memory that is known only when a program is planned. */

import type { Lent } from "./lent.ts";
import type { Packing } from "./packed.ts";

/**
 * How values lie in device memory. Arithmetic is f32; bf16 is storage, two values per word; codes are rows of a
 * quantized matrix, which products alone read.
 */
export type ElementType = "f32" | "bf16" | "i32" | "u32" | "codes";

export type StorageKind = "activation" | "parameter" | "gradient" | "state" | "input" | "output" | "constant";

/** Where a storage lies. */
export interface Place {
  readonly buffer?: GPUBuffer;
  /** Of what is in `buffer` only while it is used. */
  readonly lent?: Lent;
  /** Of a weight of codes: how its rows lie, and what they share. */
  readonly codes?: { readonly packing: Packing; readonly table: GPUBuffer | undefined };
}

/** Memory that one or several tensors look at. Without a buffer it is an activation, placed by the planner. */
export interface Storage extends Place {
  readonly id: number;
  readonly bytes: number;
  readonly kind: StorageKind;
  readonly label: string;
}

export interface Tensor {
  readonly id: number;
  /** Identity for gradients: reshaped views share it, since they share values one to one. */
  readonly root: number;
  readonly label: string;
  /** Row-major, without padding. */
  readonly shape: readonly number[];
  readonly dtype: ElementType;
  readonly storage: Storage;
  /** First byte in the storage, a multiple of 256. */
  readonly offset: number;
  /** Whether a gradient is to reach it. Set when it is made; only `Recorder.recomputed` changes it. */
  needsGrad: boolean;
}

let identities = 0; // over all recorders: parameters' tensors meet those of several programs

/** An identity that no other tensor has. */
export const newIdentity = (): number => ++identities;

/** A part of a tensor as one of its own, with a gradient of its own; `start` values into it. */
export function viewOf(x: Tensor, start: number, shape: readonly number[], label = x.label): Tensor {
  const id = newIdentity();
  return { ...x, id, root: id, label, shape, offset: x.offset + startOf(x, start) };
}

const packingOfCodes = ({ label, storage }: Tensor): Packing => {
  if (!storage.codes) throw new Error(`${label} has no codes`);
  return storage.codes.packing;
};

/** Bytes before value `start` of a tensor; of codes the first of a row. */
const startOf = (x: Tensor, start: number): number => {
  if (x.dtype !== "codes") return bytesOf(start, x.dtype);
  const { pitch, columns } = packingOfCodes(x);
  return 4 * pitch * Math.floor(start / columns);
};

/** Bytes of a tensor. */
export const tensorBytes = (x: Tensor): number => startOf(x, sizeOf(x.shape));

/** Number of values of a shape; 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Bytes of `count` values, rounded up to whole words. */
export const bytesOf = (count: number, dtype: Exclude<ElementType, "codes">): number =>
  dtype === "bf16" ? Math.ceil(count / 2) * 4 : count * 4;

export const showShape = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/** The last dimension and the product of the others: a tensor as rows. */
export function rowsOf(x: Tensor): { rows: number; width: number } {
  const width = x.shape.at(-1) ?? 1;
  return { rows: width === 0 ? 0 : sizeOf(x.shape) / width, width };
}

/** Throws RangeError unless `x` has exactly this shape. */
export function expectShape(x: Tensor, shape: readonly number[], what: string): void {
  if (x.shape.length !== shape.length || x.shape.some((n, i) => n !== shape[i])) {
    throw new RangeError(`${what}: expected ${showShape(shape)} but ${x.label} is ${showShape(x.shape)}`);
  }
}
