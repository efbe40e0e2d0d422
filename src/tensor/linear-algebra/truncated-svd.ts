/**
 * The leading singular triplets of a large matrix: exact on the host where it is small, by a randomised range finder
 * whose products run on the GPU where it is not.
 *
 * Halko, Martinsson and Tropp, SIAM Review 2011, https://arxiv.org/abs/0909.4061, algorithms 4.4 and 5.1. Subspaces are
 * turned until what they leave out settles, so that flat spectra are met too. Products are f32, bases f64.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { type HostMatrix, hostMatrix, hostProduct, leadingSvd, type Triplets, transposed } from "./leading-svd.ts";
import { rowBasis } from "./low-rank.ts";
import { matmul } from "./matmul.ts";
import { gaussian } from "./subspace.ts";

/** A row-major matrix. */
export interface FloatMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array | Float64Array;
}

/** Shorter sides up to which the host decomposes the whole matrix. */
const SMALL = 192;

/** Directions beside those that are wanted. */
const MARGIN = 16;

/** What every adapter binds. */
const DEFAULT_BINDING = 2 ** 27;

/**
 * Turns of the subspace, and the gain of the last one below which it is done: as a share of what is left out, and of
 * what is found, where rounding ends.
 */
const TURNS = 24;
const SETTLED = 3e-5;
const ROUNDING = 1e-9;

const asHost = ({ rows, columns, values }: FloatMatrix): HostMatrix =>
  hostMatrix(rows, columns, values instanceof Float64Array ? values : Float64Array.from(values));

/** Whether the triplets are found with the GPU. */
export const isRandomised = (rows: number, columns: number, most: number): boolean =>
  Math.min(rows, columns) > SMALL && 3 * (most + MARGIN) < Math.min(rows, columns);

/**
 * The leading triplets, at most `most`, by falling singular value; those that are rounding are left out. `openGpu` is
 * called for large matrices alone. Host memory: the matrix in f64 if it is small, else bases of `most` rows; the GPU
 * then holds the matrix in f32. Throws RangeError for values that are not finite.
 */
export async function truncatedSvd(matrix: FloatMatrix, most: number, openGpu: () => Promise<Gpu>): Promise<Triplets> {
  const { rows, columns, values } = matrix;
  if (!isRandomised(rows, columns, most)) return leadingSvd(asHost(matrix), most);
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]!)) throw new RangeError(`singular values of a matrix with ${values[i]}`);
    squares += values[i]! ** 2;
  }
  using held = new OnGpu(await openGpu(), matrix);
  return rangeFinder(held, most, squares);
}

/** Multiplications up to which the host finds what a decomposition leaves out. */
const ON_HOST = 3e7;

/** Sum of the squares of A - sum_j s_j left_j right_j^T; f64 on the host where the matrix is small, else f32. */
export async function residualSquares(
  matrix: FloatMatrix,
  { s, left, right }: Triplets,
  openGpu: () => Promise<Gpu>,
): Promise<number> {
  const { rows, columns, values } = matrix;
  const b = transposed(left);
  for (let i = 0; i < b.values.length; i++) b.values[i]! *= s[i % s.length]!;
  if (rows * columns * s.length > ON_HOST) {
    using held = new OnGpu(await openGpu(), matrix);
    return held.residualSquares(b, right);
  }
  const row = new Float64Array(columns);
  let sum = 0;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) row[c] = values[r * columns + c]!;
    for (let k = 0; k < s.length; k++) {
      const factor = b.values[r * s.length + k]!;
      for (let c = 0; c < columns; c++) row[c]! -= factor * right.values[k * columns + c]!;
    }
    for (let c = 0; c < columns; c++) sum += row[c]! ** 2;
  }
  return sum;
}

/** A matrix on the GPU, in blocks of rows that a binding can hold. Vectors are rows of host matrices. */
export class OnGpu {
  readonly rows: number;
  readonly columns: number;
  readonly #gpu: Gpu;
  readonly #blocks: { readonly start: number; readonly rows: number; readonly held: PooledBuffer }[] = [];

  constructor(gpu: Gpu, { rows, columns, values }: FloatMatrix) {
    this.rows = rows;
    this.columns = columns;
    this.#gpu = gpu;
    const most = Math.max(
      1,
      Math.floor((gpu.adapter.limits.maxStorageBufferBindingSize ?? DEFAULT_BINDING) / (4 * columns)),
    );
    for (let start = 0; start < rows; start += most) {
      const count = Math.min(most, rows - start);
      const part = values.subarray(start * columns, (start + count) * columns);
      const narrow = part instanceof Float32Array ? part : Float32Array.from(part);
      this.#blocks.push({ start, rows: count, held: gpu.upload(narrow, "rows of a matrix to decompose") });
    }
  }

  [Symbol.dispose](): void {
    for (const { held } of this.#blocks) held.free();
  }

  /** (k, columns) = X A, X (k, rows). */
  async times(vectors: HostMatrix): Promise<HostMatrix> {
    const out = hostMatrix(vectors.rows, this.columns);
    for (const { start, rows, held } of this.#blocks) {
      const x = new Float32Array(vectors.rows * rows);
      for (let k = 0; k < vectors.rows; k++) {
        const at = k * this.rows + start;
        x.set(vectors.values.subarray(at, at + rows), k * rows);
      }
      const found = await this.#product("nn", x, vectors.rows, rows, held, this.columns);
      for (const [i, value] of found.entries()) out.values[i]! += value;
    }
    return out;
  }

  /** (k, rows) = X A^T, X (k, columns). */
  async timesTransposed(vectors: HostMatrix): Promise<HostMatrix> {
    const out = hostMatrix(vectors.rows, this.rows);
    const x = Float32Array.from(vectors.values);
    for (const { start, rows, held } of this.#blocks) {
      const found = await this.#product("nt", x, vectors.rows, rows, held, rows);
      for (let k = 0; k < vectors.rows; k++)
        out.values.set(found.subarray(k * rows, (k + 1) * rows), k * this.rows + start);
    }
    return out;
  }

  /** Sum of the squares of the matrix without B A, b (rows, k) and a (k, columns). The matrix is lost. */
  async residualSquares(b: HostMatrix, a: HostMatrix): Promise<number> {
    const gpu = this.#gpu;
    using wide = gpu.upload(Float32Array.from(a.values), "right factor");
    let sum = 0;
    for (const { start, rows, held } of this.#blocks) {
      const part = b.values.subarray(start * b.columns, (start + rows) * b.columns);
      using tall = gpu.upload(Float32Array.from(part), "left factor");
      await matmul(gpu, {
        form: "nn",
        a: { buffer: tall.buffer, rows, columns: b.columns },
        b: { buffer: wide.buffer, rows: a.rows, columns: a.columns },
        c: { buffer: held.buffer, rows, columns: this.columns },
        ...{ scale: -1, accumulate: true },
      });
      const left = await gpu.readFloats(held.buffer, rows * this.columns);
      for (let i = 0; i < left.length; i++) sum += left[i]! ** 2;
    }
    return sum;
  }

  async #product(form: "nn" | "nt", x: Float32Array, count: number, rows: number, held: PooledBuffer, width: number) {
    const gpu = this.#gpu;
    using vectors = gpu.upload(x, "vectors");
    using images = gpu.buffer(4 * count * width, "images of vectors");
    await matmul(gpu, {
      form,
      a: { buffer: vectors.buffer, rows: count, columns: x.length / count },
      b: { buffer: held.buffer, rows, columns: this.columns },
      c: { buffer: images.buffer, rows: count, columns: width },
    });
    return gpu.readFloats(images.buffer, count * width);
  }
}

async function rangeFinder(matrix: OnGpu, most: number, squares: number): Promise<Triplets> {
  const { rows, columns } = matrix;
  const size = most + MARGIN;
  let right = hostMatrix(size, columns, Float64Array.from(gaussian(size * columns)));
  let energy = 0;
  for (let turn = 1; ; turn++) {
    const { basis } = rowBasis(await matrix.timesTransposed(rowBasis(right).basis));
    if (basis.rows === 0) return { s: new Float64Array(0), left: hostMatrix(0, rows), right: hostMatrix(0, columns) };
    right = await matrix.times(basis); // A is about basis^T right
    const inside = leadingSvd(right, most);
    const found = inside.s.reduce((sum, s) => sum + s * s, 0);
    if (turn === TURNS || found - energy <= SETTLED * Math.max(0, squares - found) + ROUNDING * found)
      return { ...inside, left: hostProduct(inside.left, basis) };
    energy = found;
  }
}
