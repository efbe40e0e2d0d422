/**
 * A product A S B on the GPU in the place of a matrix, A and B of blocks on the diagonal, and how its distance from a
 * goal moves with them. The distance is sum_ij h_j (A S B - goal)_ij^2.
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { foldGroups, spanGroups } from "../gpu/grid.ts";
import { type ProductShape, planProduct } from "../tensor/linear-algebra/products.ts";
import { profileOf } from "../tensor/program.ts";

export interface CoreShape {
  readonly rows: number;
  readonly columns: number;
  /** Sides of the blocks of A, which divides rows, and of B, which divides columns. */
  readonly sideA: number;
  readonly sideB: number;
}

/** Names of the buffers, with how many values each holds. */
const sizesOf = ({ rows, columns, sideA, sideB }: CoreShape) => ({
  a: rows * sideA,
  b: columns * sideB,
  core: rows * columns,
  /** A S, S B, and slopes times B^T */
  left: rows * columns,
  right: rows * columns,
  product: rows * columns,
  slopes: rows * columns,
  slopesA: rows * sideA,
  slopesB: columns * sideB,
  slopesCore: rows * columns,
});

type Name = keyof ReturnType<typeof sizesOf>;

/** Blocks of a matrix's diagonal, each the identity: (count, side, side). */
function identities(count: number, side: number): Float32Array {
  const values = new Float32Array(count * side * side);
  for (let i = 0; i < count * side; i++) values[i * side + (i % side)] = 1;
  return values;
}

export class WrappedCore implements Disposable {
  readonly shape: CoreShape;
  readonly #gpu: Gpu;
  readonly #held: Readonly<Record<Name, PooledBuffer>>;
  readonly #goal: PooledBuffer;
  readonly #importance: PooledBuffer;
  readonly #sums: PooledBuffer;
  readonly #best: PooledBuffer;
  readonly #kept: PooledBuffer;

  /** A and B begin as identities, S as what the caller puts in its place. Goal and importance stay the caller's. */
  constructor(gpu: Gpu, shape: CoreShape, goal: PooledBuffer, importance: PooledBuffer) {
    this.#gpu = gpu;
    this.shape = shape;
    this.#goal = goal;
    this.#importance = importance;
    const { rows, columns, sideA, sideB } = shape;
    const sizes = sizesOf(shape);
    const take = (name: Name): PooledBuffer => gpu.buffer(4 * sizes[name], name);
    this.#held = {
      a: gpu.upload(identities(rows / sideA, sideA), "a"),
      b: gpu.upload(identities(columns / sideB, sideB), "b"),
      ...{ core: take("core"), left: take("left"), right: take("right"), product: take("product") },
      ...{ slopes: take("slopes"), slopesA: take("slopesA"), slopesB: take("slopesB") },
      slopesCore: take("slopesCore"),
    };
    this.#sums = gpu.buffer(4 * this.#spans, "parts of the loss");
    this.#best = gpu.upload(new Float32Array([Number.POSITIVE_INFINITY, 0]), "best loss");
    this.#kept = gpu.buffer(4 * rows * columns, "best product");
  }

  get #spans(): number {
    const [x, y] = spanGroups(this.shape.rows * this.shape.columns);
    return x * y;
  }

  /** A buffer by name: (count, side, side) for a and b, (rows, columns) for the others. */
  held(name: Name): PooledBuffer {
    return this.#held[name];
  }

  /** The product whose loss was the least of those noted. */
  get best(): PooledBuffer {
    return this.#kept;
  }

  [Symbol.dispose](): void {
    for (const one of [...Object.values(this.#held), this.#sums, this.#best, this.#kept]) one.free();
  }

  async #multiply(shape: ProductShape, a: Name, b: Name, c: Name): Promise<void> {
    const { kernel, params, groups, ...variant } = planProduct(shape, profileOf(this.#gpu));
    const bind = { a: this.#held[a].buffer, b: this.#held[b].buffer, c: this.#held[c].buffer };
    this.#gpu.run(await this.#gpu.kernel(kernel, variant), { bind, params, groups });
  }

  /** Blocks of A, turned under tn, times rows of a matrix: c = A x, or A^T x. */
  #byA(form: "nn" | "tn", x: Name, c: Name): Promise<void> {
    const { rows, columns, sideA: side } = this.shape;
    const sizes = { m: side, n: columns, k: side, batch: rows / side };
    const strides = { strideA: side ** 2, strideB: side * columns, strideC: side * columns };
    return this.#multiply({ form, ...sizes, lda: side, ldb: columns, ldc: columns, ...strides }, "a", x, c);
  }

  /** Columns of a matrix times blocks of B, turned under nt: c = x B, or x B^T. */
  #byB(form: "nn" | "nt", x: Name, c: Name): Promise<void> {
    const { rows, columns, sideB: side } = this.shape;
    const sizes = { m: rows, n: side, k: side, batch: columns / side };
    const strides = { strideA: side, strideB: side ** 2, strideC: side };
    return this.#multiply({ form, ...sizes, lda: columns, ldb: side, ldc: columns, ...strides }, x, "b", c);
  }

  /** A S B. */
  async multiply(): Promise<void> {
    await this.#byA("nn", "core", "left");
    await this.#byB("nn", "left", "product");
  }

  /** Notes the loss of the product at a place of `losses`, and keeps the product where it is the best. */
  async note(losses: PooledBuffer, place: number): Promise<void> {
    const gpu = this.#gpu;
    const { rows, columns } = this.shape;
    const n = rows * columns;
    const groups = spanGroups(n);
    const product = this.#held.product.buffer;
    gpu.run(await gpu.kernel("compress/core-residual"), {
      bind: {
        ...{ product, goal: this.#goal.buffer, importance: this.#importance.buffer },
        ...{ slopes: this.#held.slopes.buffer, sums: this.#sums.buffer },
      },
      ...{ params: { rows, columns }, groups },
    });
    const count = Math.ceil(n / 1024);
    gpu.run(await gpu.kernel("compress/note-loss"), {
      bind: { sums: this.#sums.buffer, losses: losses.buffer, best: this.#best.buffer },
      ...{ params: { count, place }, groups: [1] as const },
    });
    gpu.run(await gpu.kernel("compress/keep-better"), {
      bind: { best: this.#best.buffer, values: product, kept: this.#kept.buffer },
      ...{ params: { n }, groups },
    });
  }

  /** The slopes of the loss by A, B and S, after `note` of the same product. */
  async slopes(): Promise<void> {
    const { rows, columns, sideA, sideB } = this.shape;
    await this.#byB("nn", "core", "right");
    // By A: slopes (S B)^T of each block of rows. By B: (A S)^T slopes of each block of columns.
    const byRows = { lda: columns, ldb: columns, strideA: sideA * columns, strideB: sideA * columns };
    const square = { m: sideA, n: sideA, k: columns, batch: rows / sideA, strideC: sideA ** 2 };
    await this.#multiply({ form: "nt", ...square, ...byRows }, "slopes", "right", "slopesA");
    const byColumns = { lda: columns, ldb: columns, strideA: sideB, strideB: sideB };
    const turned = { m: sideB, n: sideB, k: rows, batch: columns / sideB, strideC: sideB ** 2 };
    await this.#multiply({ form: "tn", ...turned, ...byColumns }, "left", "slopes", "slopesB");
    await this.#byB("nt", "slopes", "right");
    await this.#byA("tn", "right", "slopesCore");
  }

  /**
   * Chooses one group of four in each pair of blocks anew, after `multiply` of the same A, S and B; marks are 1 where S
   * is 0. `key` and `step` choose the groups.
   */
  async regroup(marks: PooledBuffer, { key, step }: { readonly key: number; readonly step: number }): Promise<void> {
    const gpu = this.#gpu;
    const { rows, columns, sideA, sideB } = this.shape;
    const width = Math.max(4, sideB);
    const { a, b, product, core, slopesCore } = this.#held;
    gpu.run(await gpu.kernel("compress/core-group"), {
      bind: {
        ...{ a: a.buffer, b: b.buffer, product: product.buffer, goal: this.#goal.buffer },
        ...{ importance: this.#importance.buffer, slopes: slopesCore.buffer, core: core.buffer, marks: marks.buffer },
      },
      params: { rows, columns, side_a: sideA, side_b: sideB, width, step, key, ridge: 1e-9 },
      groups: foldGroups((rows / sideA) * (columns / width)),
    });
  }
}
