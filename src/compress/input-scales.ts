/**
 * Scales of a layer's inputs: input j divided by c_j where it is made, and column j of the matrices that read it
 * multiplied by c_j. In exact numbers nothing changes; rounding does.
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { spanGroups } from "../gpu/grid.ts";
import { type Matrix, matmul } from "../tensor/linear-algebra/matmul.ts";
import type { MeasuredLayer } from "./layer.ts";
import type { GroupGrids } from "./nearest-codes.ts";

/** A matrix whose sides are to be scaled. */
interface Sides {
  readonly rows: number;
  readonly columns: number;
  readonly left?: PooledBuffer;
  readonly right: PooledBuffer;
}

/** Records y[r, c] = x[r, c] left[r] right[c]; y is another buffer than x. */
export async function scaleSides(gpu: Gpu, x: GPUBuffer, y: GPUBuffer, { rows, columns, left, right }: Sides) {
  const kernel = await gpu.kernel("compress/scale-sides", { flags: left ? ["left"] : [] });
  gpu.run(kernel, {
    bind: { x, y, right: right.buffer, ...(left ? { left: left.buffer } : {}) },
    params: { rows, columns },
    groups: spanGroups(rows * columns),
  });
}

/** The same, in place. */
async function scaleInPlace(gpu: Gpu, buffer: GPUBuffer, sides: Sides): Promise<void> {
  const bytes = 4 * sides.rows * sides.columns;
  using scaled = gpu.buffer(bytes, "scaled matrix");
  await scaleSides(gpu, buffer, scaled.buffer, sides);
  gpu.copy(scaled.buffer, 0, buffer, 0, bytes);
}

/** Multiplies a layer's columns by `factors` (in), above 0, and divides what it reads, in place. */
export async function scaleInputs({ gpu, rows, columns, weight, inputs }: MeasuredLayer, factors: Float32Array) {
  using right = gpu.upload(factors, "factors of inputs");
  await scaleInPlace(gpu, weight.buffer, { rows, columns, right });
  const shares = factors.map((x) => 1 / x);
  using share = gpu.upload(shares, "shares of inputs");
  await scaleInPlace(gpu, inputs.gram.buffer, { rows: columns, columns, left: share, right: share });
  for (const sizes of [inputs.magnitudes, inputs.largest ?? []])
    for (const [j, x] of sizes.entries()) sizes[j] = x * shares[j]!;
}

/** Records what rounding changes in a matrix whose columns were multiplied by factors: (rows, columns) into `into`. */
export async function roundedDifference(
  gpu: Gpu,
  grids: GroupGrids,
  { weight, factors, into }: { weight: PooledBuffer; factors: PooledBuffer; into: PooledBuffer },
): Promise<void> {
  const { rows, columns, group, groups, scheme } = grids;
  gpu.run(await gpu.kernel("compress/rounded-difference"), {
    bind: {
      ...{ weight: weight.buffer, factors: factors.buffer },
      ...{ scales: grids.scales.buffer, zeros: grids.zeros.buffer, difference: into.buffer },
    },
    params: { rows, columns, group, groups, top: 2 ** scheme.bits - 1 },
    groups: spanGroups(rows * columns),
  });
}

/** Values that one workgroup of wgsl/reduce/dot.wgsl adds up. */
const DOT_VALUES = 16384;

/** tr(D H D^T) of matrices (rows, columns), one after another; the sums stay on the GPU until `read`. */
export class Energies implements Disposable {
  readonly #gpu: Gpu;
  readonly #sums: PooledBuffer;
  readonly #lengths: number[] = [];
  #next = 0;

  /** For `count` matrices of at most `largest` values. */
  constructor(gpu: Gpu, count: number, largest: number) {
    this.#gpu = gpu;
    this.#sums = gpu.buffer(4 * count * Math.ceil(largest / DOT_VALUES), "sums");
  }

  /** Records one of D. */
  async add(difference: PooledBuffer, rows: number, gram: Matrix): Promise<void> {
    const gpu = this.#gpu;
    const { columns } = gram;
    using moved = gpu.buffer(4 * rows * columns, "difference by H");
    const a = { buffer: difference.buffer, rows, columns };
    await matmul(gpu, { form: "nn", a, b: gram, c: { buffer: moved.buffer, rows, columns } });
    const parts = Math.ceil((rows * columns) / DOT_VALUES);
    using sums = gpu.buffer(4 * parts, "parts of a sum");
    gpu.run(await gpu.kernel("reduce/dot", { flags: ["pair"] }), {
      bind: { a: difference.buffer, b: moved.buffer, sums: sums.buffer },
      params: { n: rows * columns },
      groups: spanGroups(rows * columns, DOT_VALUES),
    });
    gpu.copy(sums.buffer, 0, this.#sums.buffer, 4 * this.#next, 4 * parts);
    this.#next += parts;
    this.#lengths.push(parts);
  }

  /** Of each in the order in which they were added. */
  async read(): Promise<number[]> {
    const parts = await this.#gpu.readFloats(this.#sums.buffer, this.#next);
    let at = 0;
    return this.#lengths.map((length) => {
      at += length;
      return parts.subarray(at - length, at).reduce((sum, x) => sum + x, 0);
    });
  }

  [Symbol.dispose](): void {
    this.#sums.free();
  }
}
