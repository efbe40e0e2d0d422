/**
 * The state of a training as a value: numbers as JSON, and tensors that lie on the GPU. The model's own weights are
 * not part of it; whoever saves a training saves these too. So a state nests: one that trains several times in a row
 * saves its own place, the weights, and the state of the training that is under way.
 */
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import type { OrderState } from "../../data/order.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { Pages } from "../../tensor/paging/pages.ts";

/** What is JSON of a state. */
export interface TrainingProgress {
  /** Steps that are done. */
  readonly step: number;
  /** Steps that its optimizer had done before, in runs on other data; 0 when left out. */
  readonly past?: number;
  /** Where the data stand. */
  readonly order: OrderState;
  /** States of controllers and update rules, by name. */
  readonly states: Readonly<Record<string, Json>>;
}

interface StateInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "F32" | "BF16" | "U32";
  readonly bytes: number;
}

/** A tensor of a training's state: one of the optimizer's, or a weight that is trained or kept beside the model. */
export interface StateTensor extends StateInfo {
  /** As long as `bytes`, or longer. */
  readonly buffer: GPUBuffer;
}

/** A tensor of a state that lies in pages. */
export interface PagedState extends StateInfo {
  readonly pages: Pages;
}

/** A tensor of a state that lies on the host. */
export interface HostStateTensor extends StateInfo {
  readonly host: Uint8Array;
}

/** The state of a training that is under way. Its tensors change with the next step. */
export interface TrainingState {
  readonly progress: TrainingProgress;
  readonly tensors: readonly (StateTensor | PagedState)[];
}

/** A state that was saved, in memory or in files. */
export interface SavedTraining {
  readonly progress: TrainingProgress;
  /** Where it was saved, for messages. */
  readonly where: string;
  /** Bytes of a tensor, in the dtype in which it was saved; undefined where there is none of that name. */
  read(name: string): Promise<Uint8Array | undefined>;
}

export const stateTensor = (
  name: string,
  { shape, size }: { readonly shape: readonly number[]; readonly size: number },
  buffer: GPUBuffer,
  held: "f32" | "bf16" | "u32",
): StateTensor => {
  const dtype = ({ f32: "F32", bf16: "BF16", u32: "U32" } as const)[held];
  return { name, shape, dtype, buffer, bytes: size * DTYPE_BYTES[dtype] };
};

export const pagedState = (
  name: string,
  { shape, size }: { readonly shape: readonly number[]; readonly size: number },
  pages: Pages,
  held: "f32" | "bf16" | "u32",
): PagedState => {
  const dtype = ({ f32: "F32", bf16: "BF16", u32: "U32" } as const)[held];
  return { name, shape, dtype, pages, bytes: size * DTYPE_BYTES[dtype] };
};

/** `count` bytes of a tensor of a state, from `first` on, a multiple of 4. */
export function readState(
  gpu: Gpu,
  tensor: StateTensor | PagedState | HostStateTensor,
  first: number,
  count: number,
): Promise<Uint8Array> | Uint8Array {
  if ("host" in tensor) return tensor.host.subarray(first, first + count);
  if ("pages" in tensor) return tensor.pages.read(first, count);
  return gpu.read(tensor.buffer, first, Math.ceil(count / 4) * 4, (view) => view.slice(0, count));
}

/** Copies a state to host memory. */
export async function copyState(gpu: Gpu, { progress, tensors }: TrainingState): Promise<SavedTraining> {
  const copies = new Map<string, Uint8Array>();
  for (const tensor of tensors) copies.set(tensor.name, await readState(gpu, tensor, 0, tensor.bytes));
  return { progress: structuredClone(progress), where: "memory", read: async (name) => copies.get(name) };
}
