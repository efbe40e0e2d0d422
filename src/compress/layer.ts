/**
 * A linear layer in the hands of a method: its matrix on the GPU, and what it reads on the rows of --calibration.
 *
 *   y = W x       W (out, in) f32, whatever the file's order and type
 *   H = X X^T / n
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Matrix, matmul } from "../tensor/linear-algebra/matmul.ts";

/** What a layer reads of n tokens. */
export interface LayerInputs {
  /** H (in, in), f32. Methods leave it as it is. */
  readonly gram: Matrix;
  /** Mean magnitude of every input (in). */
  readonly magnitudes: Float32Array;
  /** Largest magnitude of every input (in); of experts not measured. */
  readonly largest?: Float32Array;
}

export interface Layer {
  readonly gpu: Gpu;
  /** Of its weight in the checkpoint. */
  readonly name: string;
  /** out */
  readonly rows: number;
  /** in */
  readonly columns: number;
  /** W (rows, columns). Methods change it in place. */
  readonly weight: PooledBuffer;
  /** Where rows were given. */
  readonly inputs?: LayerInputs;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** A layer whose method asked for what it reads. */
export type MeasuredLayer = Layer & { readonly inputs: LayerInputs };

/** Brings W to the host. */
export const readWeights = ({ gpu, rows, columns, weight }: Layer): Promise<Float32Array> =>
  gpu.readFloats(weight.buffer, rows * columns);

/** Puts W back. */
export const writeWeights = ({ gpu, weight }: Layer, values: Float32Array): void =>
  gpu.write(weight.buffer, 0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));

/** tr(D H D^T), or the sum of squares of D without H, of a matrix (rows, columns) on the host. Sums are f64. */
async function energy({ gpu, rows, columns, inputs }: Layer, d: Float32Array): Promise<number> {
  if (!inputs) return d.reduce((sum, x) => sum + x * x, 0);
  using left = gpu.upload(d, "difference");
  using moved = gpu.buffer(4 * d.length, "difference by H");
  const a = { buffer: left.buffer, rows, columns };
  await matmul(gpu, { form: "nn", a, b: inputs.gram, c: { buffer: moved.buffer, rows, columns } });
  const by = await gpu.readFloats(moved.buffer, d.length);
  return d.reduce((sum, x, i) => sum + x * by[i]!, 0);
}

/**
 * How much of what a layer gives is lost: E = tr((W - V) H (W - V)^T) / tr(W H W^T), and without H the same with H = I.
 * 0 where W gives nothing.
 */
export async function relativeError(layer: Layer, before: Float32Array, after: Float32Array): Promise<number> {
  const whole = await energy(layer, before);
  if (!(whole > 0)) return 0;
  const difference = before.map((x, i) => x - after[i]!);
  return Math.max(0, await energy(layer, difference)) / whole;
}
