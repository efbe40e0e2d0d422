/** What the sub-commands of `adapt` say and do alike: where results go, the GPU on demand, what is told at the end. */

import type { TensorInfo } from "../checkpoint/checkpoint.ts";
import type { WriteOptions } from "../checkpoint/write/writer.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { humanBytes } from "../text/format.ts";
import { quote } from "../text/quote.ts";

/** What is needed of a script's context. */
interface Context {
  readonly out: string;
  readonly device: string | undefined;
  readonly options: { readonly json: boolean };
  readonly dryRun: boolean;
  warn(text: string): void;
}

/** Throws UserError for a place that cannot hold an adapter beside the JSON. */
export function checkPlace({ out, options, dryRun }: Context): void {
  if (out.endsWith(".gguf"))
    throw new UserError(
      `${out} is a GGUF file, and adapters are written in PEFT's form here`,
      "write a folder; llama.cpp's convert_lora_to_gguf.py reads it",
    );
  if (options.json && out === "-" && !dryRun)
    throw new UserError("--json and the adapter both want stdout", "give -o DIR, or leave out --json");
}

/** Opens the GPU at the first call. */
export function gpuOnDemand({ device }: Context): () => Promise<Gpu> {
  let gpu: Promise<Gpu> | undefined;
  return () => {
    gpu ??= import("../gpu/gpu.ts").then(({ openGpu }) => openGpu({ device }));
    return gpu;
  };
}

/** Tells a tensor that the result holds whole and that is not finite. */
export const oddWhole =
  ({ warn }: Context) =>
  (name: string): void =>
    warn(`${name} holds NaN or infinity, and is in the adapter as it is`);

export const writeOptions = ({ warn }: Context): WriteOptions => ({ hub: { warn: (text) => warn(text) } });

/** Bytes of the tensors of a plan. */
export const bytesOf = (tensors: readonly TensorInfo[]): number => tensors.reduce((sum, { bytes }) => sum + bytes, 0);

/** Values of the tensors of a plan. */
export const valuesOf = (tensors: readonly TensorInfo[]): number =>
  tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** The end of a run that wrote. */
export const written = (out: string, bytes: number, told?: string) => ({
  output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
  ...(told === undefined ? {} : { told }),
  ...(out === "-" ? {} : { next: `bun run inspect ${quote(out)}` }),
});
