/**
 * The matrix that gives what all models give on their own inputs, as nearly as one matrix can:
 *
 *   W = argmin sum_i |X_i (W - W_i)^T|^2,   W = W_0 + sum_i (W_i - W_0) G_i (sum_i G_i)^-1,   G_i = X_i^T X_i
 *
 * Gram matrices are scaled to a diagonal of ones in their sum, which is factored and inverted in f64 on the host. Of
 * small weights all is done there; products of large ones run on the GPU in f32, with two steps of refinement. Inputs
 * that are 0 in every row of every model say nothing: there the matrices are averaged.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { symmetricInverse } from "../../tensor/linear-algebra/cholesky.ts";
import { type Matrix, matmul } from "../../tensor/linear-algebra/matmul.ts";

/** Pivots of a matrix with a diagonal of ones below this are rounding of f32 sums. */
const LEAST_PIVOT = 1e-5;

const REFINEMENTS = 2;

/** Multiplications up to which the host does everything: about a second. */
const HOST_WORK = 2 ** 30;

/** Gram matrices of one weight: `read(i)` gives that of model i, (side, side), its own copy. */
export interface Grams {
  readonly side: number;
  readonly count: number;
  /** What off-diagonal entries are multiplied by. */
  readonly reduce: number;
  /** Shares of the models. */
  readonly weights: readonly number[];
  read(model: number): Promise<Float32Array>;
}

/** A Gram matrix with its share, off-diagonal entries reduced. */
async function reduced({ side, weights, reduce, read }: Grams, k: number): Promise<Float64Array> {
  const gram = Float64Array.from(await read(k));
  const share = weights[k]!;
  for (let i = 0; i < gram.length; i++) gram[i]! *= share * (i % (side + 1) === 0 ? 1 : reduce);
  return gram;
}

type Scaled = Awaited<ReturnType<typeof summedGrams>>;

/** The sum of all, and 1 / the root of its diagonal, 1 for inputs that are always 0. */
async function summedGrams(grams: Grams) {
  const { side, count } = grams;
  const sum = new Float64Array(side * side);
  for (let k = 0; k < count; k++) {
    const gram = await reduced(grams, k);
    for (let i = 0; i < sum.length; i++) sum[i]! += gram[i]!;
  }
  const dead = Uint8Array.from({ length: side }, (_, j) => Number(!(sum[j * (side + 1)]! > 0)));
  const scales = Float64Array.from(dead, (isDead, j) => (isDead ? 1 : 1 / Math.sqrt(sum[j * (side + 1)]!)));
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) sum[i * side + j]! *= scales[i]! * scales[j]!;
    if (dead[i]) sum[i * side + i] = 1;
  }
  return { sum, scales, dead };
}

/** Differences of the models from the first, `pitch` values apart on the GPU, all of one shape. */
export interface Differences {
  readonly buffer: GPUBuffer;
  readonly pitch: number;
  readonly rows: number;
  readonly columns: number;
  /** The inputs meet the first axis. */
  readonly inFirst: boolean;
}

/** A Gram matrix with its share, columns scaled, and the shares of models where no model has an input. */
async function scaledGram(grams: Grams, k: number, scaled: Scaled): Promise<Float64Array> {
  const { side, weights } = grams;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const gram = await reduced(grams, k);
  for (let j = 0; j < side; j++) {
    if (scaled.dead[j]) gram[j * (side + 1)] = weights[k]! / total;
    for (let i = 0; i < side; i++) gram[i * side + j]! *= scaled.scales[j]!;
  }
  return gram;
}

/** into += x s, (rows, side) and (side, side), in f64. */
function addProduct(into: Float64Array, x: ArrayLike<number>, s: ArrayLike<number>, side: number): void {
  for (let at = 0; at < into.length; at += side) {
    for (let k = 0; k < side; k++) {
      const factor = x[at + k]!;
      if (factor !== 0) for (let j = 0; j < side; j++) into[at + j]! += factor * s[k * side + j]!;
    }
  }
}

/** (rows, columns) -> (columns, rows) */
function turned(x: Float32Array, rows: number, columns: number): Float32Array {
  const y = new Float32Array(x.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) y[c * rows + r] = x[r * columns + c]!;
  return y;
}

/** Everything in f64. */
async function hostSolution(gpu: Gpu, d: Differences, grams: Grams, scaled: Scaled, inverse: Float64Array) {
  const { rows, columns, inFirst } = d;
  const right = new Float64Array(rows * columns);
  for (let k = 0; k < grams.count; k++) {
    const own = await gpu.readFloats(d.buffer, rows * columns, 4 * k * d.pitch);
    addProduct(right, inFirst ? turned(own, rows, columns) : own, await scaledGram(grams, k, scaled), grams.side);
  }
  const solved = new Float64Array(rows * columns);
  addProduct(solved, right, inverse, grams.side);
  const found = Float32Array.from(solved, (value, i) => value * scaled.scales[i % grams.side]!);
  return inFirst ? turned(found, columns, rows) : found;
}

/** c = x s for a symmetric matrix s, or s x where inputs meet the first axis. */
const times = (gpu: Gpu, x: Matrix, s: Matrix, c: Matrix, inFirst: boolean, more = {}): Promise<void> =>
  matmul(gpu, inFirst ? { form: "nn", a: s, b: x, c, ...more } : { form: "nn", a: x, b: s, c, ...more });

/** sum_k d_k G_k D, or its mirror image; the caller frees it. */
async function rightSide(gpu: Gpu, d: Differences, grams: Grams, scaled: Scaled) {
  const { rows, columns, inFirst } = d;
  const { side } = grams;
  const held = gpu.buffer(4 * rows * columns, "right side");
  gpu.clear(held.buffer, 4 * rows * columns);
  for (let k = 0; k < grams.count; k++) {
    using upload = gpu.upload(Float32Array.from(await scaledGram(grams, k, scaled)), "Gram matrix");
    const own = { buffer: d.buffer, rows, columns, start: k * d.pitch };
    const gram = { buffer: upload.buffer, rows: side, columns: side };
    const c = { buffer: held.buffer, rows, columns };
    await matmul(
      gpu,
      inFirst
        ? { form: "tn", a: gram, b: own, c, accumulate: true }
        : { form: "nn", a: own, b: gram, c, accumulate: true },
    );
  }
  return held;
}

/** Solves y S = b (or S y = b); the caller frees y. */
async function solve(gpu: Gpu, b: PooledBuffer, matrices: { s: Matrix; inverse: Matrix }, d: Differences) {
  const { rows, columns, inFirst } = d;
  const bytes = 4 * rows * columns;
  const of = ({ buffer }: { readonly buffer: GPUBuffer }) => ({ buffer, rows, columns });
  const y = gpu.buffer(bytes, "solution");
  using rest = gpu.buffer(bytes, "residual");
  gpu.clear(y.buffer, bytes);
  for (let step = 0; step <= REFINEMENTS; step++) {
    gpu.copy(b.buffer, 0, rest.buffer, 0, bytes);
    if (step > 0) await times(gpu, of(y), matrices.s, of(rest), inFirst, { scale: -1, accumulate: true });
    await times(gpu, of(rest), matrices.inverse, of(y), inFirst, { accumulate: true });
  }
  return y;
}

/**
 * W - W_0 in f32; undefined where the sum of the Gram matrices has no inverse that f32 sums can tell. `hostWork`: most
 * multiplications that the host does.
 */
export async function gramSolution(
  gpu: Gpu,
  d: Differences,
  grams: Grams,
  hostWork = HOST_WORK,
): Promise<Float32Array | undefined> {
  const { rows, columns, inFirst } = d;
  const { side } = grams;
  const scaled = await summedGrams(grams);
  const inverse = symmetricInverse(scaled.sum, side, LEAST_PIVOT);
  if (!inverse) return undefined;
  if ((grams.count + 1) * rows * columns * side <= hostWork) return hostSolution(gpu, d, grams, scaled, inverse);
  const square = (values: Float64Array, label: string) => gpu.upload(Float32Array.from(values), label);
  using s = square(scaled.sum, "sum of Gram matrices");
  using t = square(inverse, "its inverse");
  using b = await rightSide(gpu, d, grams, scaled);
  const as = ({ buffer }: PooledBuffer): Matrix => ({ buffer, rows: side, columns: side });
  using y = await solve(gpu, b, { s: as(s), inverse: as(t) }, d);
  const found = await gpu.readFloats(y.buffer, rows * columns);
  return found.map((value, i) => value * scaled.scales[inFirst ? Math.floor(i / columns) : i % columns]!);
}
