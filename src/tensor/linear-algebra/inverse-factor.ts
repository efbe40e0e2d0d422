/**
 * The upper triangle U with U^T U = H^-1 of a symmetric positive H, on the GPU: what methods of second order read of
 * the inverse of the second moments of a layer's inputs.
 *
 * With P the reversal of rows, P (H + damping) P = M M^T gives U = P M^-1 P: one Cholesky factor and one inverse of a
 * triangle, in blocks of 64, with the rest in products. Golub and Van Loan, Matrix Computations, 4th ed., section 4.2.
 * All sums are f32, which damping makes enough: 1e-5 of U's largest value for inputs of common use.
 */
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { type Matrix, matmul } from "./matmul.ts";

/** `SIDE` of wgsl/linear-algebra/factor-block.wgsl. */
const SIDE = 64;

/** How often more damping is tried. */
const ATTEMPTS = 10;

/** The share of the mean of the diagonal that more damping adds, where less was asked for. */
const LEAST_DAMP = 0.01;

export interface InverseFactor extends Disposable {
  /** U (n, n), f32, rows and columns in the order asked for. */
  readonly factor: PooledBuffer;
  /** The diagonal of H (n), in its own order. */
  readonly diagonal: Float32Array;
  /** Inputs that are always 0: H counts as 1 there. */
  readonly dead: readonly number[];
  /** What was added to the diagonal. */
  readonly damping: number;
}

export interface FactorOptions {
  /** Added to the diagonal, as a share of its mean. */
  readonly damp: number;
  /** Input of each row and column of U; as they are in H when left out. */
  readonly order?: Uint32Array;
}

/** The diagonal (n) of a square matrix. */
export async function diagonalOf(gpu: Gpu, { buffer, rows }: Matrix): Promise<Float32Array> {
  using diagonal = gpu.buffer(4 * rows, "diagonal");
  const kernel = await gpu.kernel("linear-algebra/take-diagonal");
  const bind = { matrix: buffer, diagonal: diagonal.buffer };
  gpu.run(kernel, { bind, params: { n: rows }, groups: [Math.ceil(rows / 64)] });
  return gpu.readFloats(diagonal.buffer, rows);
}

interface Work {
  readonly gpu: Gpu;
  readonly n: number;
  /** What is left of the matrix as blocks of it are factorised. */
  readonly matrix: GPUBuffer;
  /** M, of which blocks above the diagonal are not written. */
  readonly factor: GPUBuffer;
  /** Inverses of M's blocks on the diagonal. */
  readonly inverses: GPUBuffer;
  /** M^-1 */
  readonly whole: GPUBuffer;
}

/** M and the inverses of its diagonal blocks, right-looking. False where a pivot is not positive. */
async function factorise({ gpu, n, matrix, factor, inverses, whole }: Work): Promise<boolean> {
  using failed = gpu.upload(new Uint32Array(1), "failed");
  const kernel = await gpu.kernel("linear-algebra/factor-block");
  for (let first = 0; first < n; first += SIDE) {
    const size = Math.min(SIDE, n - first);
    const bind = { matrix, factor, inverses, whole, failed: failed.buffer };
    gpu.run(kernel, { bind, params: { n, first, size }, groups: [1] });
    const rest = n - first - size;
    if (rest === 0) break;
    const below = { rows: rest, columns: size, start: (first + size) * n + first, pitch: n };
    const inverse = { buffer: inverses, rows: size, columns: size, start: first * SIDE };
    // L_ik = A_ik (L_kk^-1)^T, and then A_ij -= L_ik L_jk^T for what is right of it and below.
    const panel = { buffer: factor, ...below };
    await matmul(gpu, { form: "nt", a: { buffer: matrix, ...below }, b: inverse, c: panel });
    const left = { buffer: matrix, rows: rest, columns: rest, start: (first + size) * (n + 1), pitch: n };
    await matmul(gpu, { form: "nt", a: panel, b: panel, c: left, scale: -1, accumulate: true });
  }
  const [flag] = await gpu.readWords(failed.buffer, 1);
  return flag === 0;
}

/** M^-1, a row of blocks after another: X_i = -L_ii^-1 (sum over k < i of L_ik X_k). */
async function invert({ gpu, n, factor, inverses, whole }: Work): Promise<void> {
  using moved = gpu.buffer(4 * SIDE * n, "row of blocks");
  for (let first = SIDE; first < n; first += SIDE) {
    const size = Math.min(SIDE, n - first);
    const row = { rows: size, columns: first };
    const sum = { buffer: moved.buffer, ...row };
    const above = { buffer: whole, rows: first, columns: first, pitch: n };
    const place = { start: first * n, pitch: n };
    await matmul(gpu, { form: "nn", a: { buffer: factor, ...row, ...place }, b: above, c: sum });
    const inverse = { buffer: inverses, rows: size, columns: size, start: first * SIDE };
    await matmul(gpu, { form: "nn", a: inverse, b: sum, c: { buffer: whole, ...row, ...place }, scale: -1 });
  }
}

/**
 * U of H + damping I, with 1 in the place of 0 on H's diagonal. Where a pivot is not positive, more damping is added
 * and all begins again. Holds three matrices like H beside U while it works. Throws UserError where H is no matrix of
 * second moments: NaN, or far from positive.
 */
export async function inverseFactor(gpu: Gpu, gram: Matrix, { damp, order }: FactorOptions): Promise<InverseFactor> {
  const n = gram.rows;
  const diagonal = await diagonalOf(gpu, gram);
  const dead = [...diagonal.keys()].filter((i) => diagonal[i] === 0);
  const mean = (diagonal.reduce((sum, x) => sum + x, 0) + dead.length) / n;
  const bytes = 4 * n * n;
  using matrix = gpu.buffer(bytes, "damped second moments");
  using held = gpu.buffer(bytes, "factor");
  using inverses = gpu.buffer(4 * SIDE * n, "inverses of blocks");
  using whole = gpu.buffer(bytes, "inverse of the factor");
  using places = gpu.upload(order ?? Uint32Array.from({ length: n }, (_, i) => i), "order");
  const prepare = await gpu.kernel("linear-algebra/damp-reversed");
  const turn = await gpu.kernel("linear-algebra/reverse-triangle");
  const work = { gpu, n, matrix: matrix.buffer, factor: held.buffer, inverses: inverses.buffer, whole: whole.buffer };
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const damping = mean * (damp + attempt * Math.max(damp, LEAST_DAMP));
    const bind = { matrix: gram.buffer, order: places.buffer, y: matrix.buffer };
    gpu.run(prepare, { bind, params: { n, damping }, groups: spanGroups(n * n) });
    gpu.clear(whole.buffer, bytes);
    if (!(await factorise(work))) continue;
    await invert(work);
    const factor = gpu.buffer(bytes, "upper factor of the inverse");
    const bound = { lower: whole.buffer, upper: factor.buffer };
    gpu.run(turn, { bind: bound, params: { n }, groups: spanGroups(n * n) });
    return { factor, diagonal, dead, damping, [Symbol.dispose]: () => factor.free() };
  }
  throw new UserError(
    `second moments of ${n} inputs have no Cholesky factor, though ${ATTEMPTS} times their damping was added`,
    "they hold values that are no numbers, or are of too few rows: give other rows, or a larger --damp",
    1,
  );
}
