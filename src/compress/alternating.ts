/**
 * Low-rank factors of a matrix of which entries may be missing, by alternating minimisation on the GPU.
 *
 * Jain, Netrapalli and Sanghavi, Low-rank Matrix Completion using Alternating Minimization, 2012,
 * https://arxiv.org/abs/1212.0467; robust to approximate solves: Gu et al., 2023, https://arxiv.org/abs/2302.11068.
 *
 * A solve for one factor is, for every row of it, a system A_i x = b_i with A_i the sum of u u^T over the trusted
 * entries. The other factor is orthonormal then, so A_i is about their share times the identity, and a few steps of
 * conjugate gradients are enough. Those of all rows run together as two products a step.
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { spanGroups } from "../gpu/grid.ts";
import { inverseFactor } from "../tensor/linear-algebra/inverse-factor.ts";
import { type Matrix, matmul } from "../tensor/linear-algebra/matmul.ts";
import type { Factors } from "./factorization.ts";
import { scaledSvd } from "./scaled-svd.ts";

/** mu, as a share of the mean of the diagonals of the A_i. */
const RIDGE = 1e-6;

/** Times the usual length of a row of the first factors that a row may have: longer ones are cut. */
const LONGEST = 4;

/** What makes a Gram matrix of directions that depend on each other positive, as a share of its mean. */
const DEPENDENT = 1e-6;

export interface Trusted {
  readonly gpu: Gpu;
  /** (rows, columns) */
  readonly weight: Float32Array;
  /** Of columns (columns), positive: their entries count by the square. */
  readonly scales: Float64Array;
  /** (rows, columns) 1 where an entry is not known. */
  readonly missing?: Uint32Array;
}

export interface Alternation {
  readonly rank: number;
  readonly sweeps: number;
  /** Of conjugate gradients to a solve. */
  readonly steps: number;
  readonly signal?: AbortSignal;
}

/** Cuts rows of a factor (n, k) that are far longer than the others: what few entries were known of leads nowhere. */
function cutLongRows(factor: Float32Array, k: number): void {
  const n = factor.length / k;
  const usual = Math.sqrt(factor.reduce((sum, x) => sum + x * x, 0) / n);
  for (let row = 0; row < n; row++) {
    const own = factor.subarray(row * k, (row + 1) * k);
    const length = Math.sqrt(own.reduce((sum, x) => sum + x * x, 0));
    if (length > LONGEST * usual) for (let i = 0; i < k; i++) own[i]! *= (LONGEST * usual) / length;
  }
}

interface Side {
  readonly held: PooledBuffer;
  readonly matrix: Matrix;
}

class Alternating implements Disposable {
  readonly #gpu: Gpu;
  readonly #rows: number;
  readonly #columns: number;
  readonly #rank: number;
  readonly #steps: number;
  readonly #mu: number;
  /** Known entries, 0 elsewhere, and a matrix of the same shape to work in. */
  readonly #goal: Matrix;
  readonly #work: Matrix;
  readonly #marks: PooledBuffer | undefined;
  readonly #held: PooledBuffer[] = [];
  readonly u: Side;
  readonly v: Side;
  readonly #scratch: Record<"residual" | "direction" | "image", PooledBuffer>;

  constructor(gpu: Gpu, goal: Float32Array, missing: Uint32Array | undefined, first: Factors, steps: number) {
    this.#gpu = gpu;
    const rank = first.rank;
    const [rows, columns] = [first.left.length / rank, first.right.length / rank];
    [this.#rows, this.#columns, this.#rank, this.#steps] = [rows, columns, rank, steps];
    const keep = (buffer: PooledBuffer): PooledBuffer => {
      this.#held.push(buffer);
      return buffer;
    };
    const unknown = missing?.reduce((sum, x) => sum + x, 0) ?? 0;
    this.#mu = RIDGE * (1 - unknown / goal.length);
    this.#goal = { buffer: keep(gpu.upload(goal, "known entries")).buffer, rows, columns };
    this.#work = { buffer: keep(gpu.buffer(4 * goal.length, "entries of a product")).buffer, rows, columns };
    this.#marks = missing && keep(gpu.upload(missing, "missing entries"));
    const side = (values: Float32Array, n: number): Side => {
      const held = keep(gpu.upload(values, "factor"));
      return { held, matrix: { buffer: held.buffer, rows: n, columns: rank } };
    };
    this.u = side(first.left, rows);
    this.v = side(first.right, columns);
    const bytes = 4 * rank * Math.max(rows, columns);
    const take = (label: string) => keep(gpu.buffer(bytes, label));
    this.#scratch = { residual: take("residual"), direction: take("direction"), image: take("image") };
  }

  [Symbol.dispose](): void {
    for (const one of this.#held) one.free();
  }

  /** Makes one factor orthonormal, and turns the other so that their product stays. */
  async #orthonormal(one: Side, other: Side): Promise<void> {
    const gpu = this.#gpu;
    const rank = this.#rank;
    const square = (buffer: GPUBuffer): Matrix => ({ buffer, rows: rank, columns: rank });
    using gram = gpu.buffer(4 * rank * rank, "gram");
    using turned = gpu.buffer(one.held.bytes, "orthonormal factor");
    await matmul(gpu, { form: "tn", a: one.matrix, b: one.matrix, c: square(gram.buffer) });
    using inverse = await inverseFactor(gpu, square(gram.buffer), { damp: DEPENDENT });
    const c = { ...one.matrix, buffer: turned.buffer };
    await matmul(gpu, { form: "nt", a: one.matrix, b: square(inverse.factor.buffer), c });
    await matmul(gpu, { form: "tn", a: c, b: one.matrix, c: square(gram.buffer) });
    gpu.copy(turned.buffer, 0, one.held.buffer, 0, one.held.bytes);
    using moved = gpu.buffer(other.held.bytes, "turned factor");
    const to = { ...other.matrix, buffer: moved.buffer };
    await matmul(gpu, { form: "nt", a: other.matrix, b: square(gram.buffer), c: to });
    gpu.copy(moved.buffer, 0, other.held.buffer, 0, other.held.bytes);
  }

  /** Known entries of the product of one factor with a matrix like the other: (rows, columns) in `#work`. */
  async #entries(left: Matrix, right: Matrix): Promise<void> {
    const gpu = this.#gpu;
    await matmul(gpu, { form: "nt", a: left, b: right, c: this.#work });
    if (!this.#marks) return;
    const kernel = await gpu.kernel("weight-selection/drop-marked");
    const params = { rows: this.#rows, columns: this.#columns };
    const bind = { marks: this.#marks.buffer, weight: this.#work.buffer };
    gpu.run(kernel, { bind, params, groups: spanGroups(params.rows * params.columns) });
  }

  /** Solves for one factor, from where it is. */
  async solve(which: "u" | "v"): Promise<void> {
    const gpu = this.#gpu;
    const [own, other] = which === "u" ? [this.u, this.v] : [this.v, this.u];
    await this.#orthonormal(other, own);
    const { residual, direction, image } = this.#scratch;
    const like = (held: PooledBuffer): Matrix => ({ ...own.matrix, buffer: held.buffer });
    // Entries times the other factor: (rows, columns) (columns, k) for U, and turned for V.
    const onto = (entries: Matrix, c: Matrix, scale = 1, accumulate = false) =>
      matmul(gpu, { form: which === "u" ? "nn" : "tn", a: entries, b: other.matrix, c, scale, accumulate });
    const entriesOf = (x: Matrix) => (which === "u" ? this.#entries(x, other.matrix) : this.#entries(other.matrix, x));
    const kernel = await gpu.kernel("compress/conjugate-step");
    const bind = { image: image.buffer, x: own.held.buffer, residual: residual.buffer, direction: direction.buffer };
    const n = own.matrix.rows;
    const step = (first: number) => {
      const params = { n, k: this.#rank, mu: this.#mu, first };
      gpu.run(kernel, { bind, params, groups: [Math.ceil(n / 64)] });
    };
    await onto(this.#goal, like(residual));
    await entriesOf(own.matrix);
    await onto(this.#work, like(residual), -1, true);
    step(1);
    for (let i = 0; i < this.#steps; i++) {
      await entriesOf(like(direction));
      await onto(this.#work, like(image));
      step(0);
    }
  }
}

/** Factors of what is known, the columns by their scales. Throws RangeError for a rank of 0. */
export async function alternatingFactors(
  { gpu, weight, scales, missing }: Trusted,
  { rank, sweeps, steps, signal }: Alternation,
): Promise<Factors> {
  const columns = scales.length;
  const goal = weight.map((x, i) => (missing?.[i] ? 0 : x * scales[i % columns]!));
  const known = goal.length - (missing?.reduce((sum, x) => sum + x, 0) ?? 0);
  const ones = new Float64Array(columns).fill(1);
  const scaled = missing && known > 0 ? goal.map((x) => (x * goal.length) / known) : goal;
  const first = await scaledSvd(gpu, scaled, ones, rank);
  if (first.rank === 0) return first;
  if (missing) {
    cutLongRows(first.left, first.rank);
    cutLongRows(first.right, first.rank);
  }
  using work = new Alternating(gpu, goal, missing, first, steps);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    signal?.throwIfAborted();
    await work.solve("v");
    await work.solve("u");
  }
  const left = await gpu.readFloats(work.u.held.buffer, first.left.length);
  const right = await gpu.readFloats(work.v.held.buffer, first.right.length);
  return { rank: first.rank, left, right: right.map((x, i) => x / scales[Math.floor(i / first.rank)]!) };
}
