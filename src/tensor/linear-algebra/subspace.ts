/**
 * Leading left subspace of a large matrix on the GPU, by randomised subspace iteration.
 *
 * Halko, Martinsson and Tropp, SIAM Review 2011, https://arxiv.org/abs/0909.4061, algorithm 4.4. Bases are made
 * orthonormal by Newton and Schulz's iteration, which needs nothing but matrix products: no factorisation on the host.
 * The span is what counts: the basis is not the singular vectors, and where singular values at the rank nearly agree,
 * directions among them may be exchanged.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { type Matrix, matmul } from "./matmul.ts";

/**
 * Steps of Newton and Schulz: small singular values grow by 1.5 per step, so 1e-6 of the largest is still brought to 1.
 */
const STEPS = 40;

/** Steps between looks at how far the basis is, and the distance at which it is done: what f32 gives. */
const CHECKED = 4;
const ORTHONORMAL = 1e-4;

/** Standard normal numbers; the same for the same count. */
export function gaussian(count: number): Float32Array {
  let state = 0x9e3779b9;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    let h = state ^ (state >>> 16);
    h = Math.imul(h, 0x45d9f3b) ^ (h >>> 13);
    return ((h >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()));
}

const matrixOf = (held: PooledBuffer, rows: number, columns: number): Matrix => ({
  buffer: held.buffer,
  rows,
  columns,
});

/**
 * The largest row sum of magnitudes of a symmetric matrix, which bounds its eigenvalues, and its distance from the
 * identity.
 */
function bounds(gram: Float32Array, n: number): { largest: number; distance: number } {
  let [largest, distance] = [0, 0];
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const value = gram[i * n + j]!;
      sum += Math.abs(value);
      distance = Math.max(distance, Math.abs(value - (i === j ? 1 : 0)));
    }
    largest = Math.max(largest, sum);
  }
  return { largest, distance };
}

/** A diagonal matrix on the device. */
function diagonal(gpu: Gpu, n: number, value: number): PooledBuffer {
  const values = new Float32Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = value;
  return gpu.upload(values, "diagonal");
}

/** Turns the columns of y (rows, r) into an orthonormal basis of their span, in place. */
export async function orthonormalise(gpu: Gpu, y: Matrix): Promise<void> {
  const { rows, columns } = y;
  using gram = gpu.buffer(4 * columns * columns, "gram");
  using next = gpu.buffer(4 * rows * columns, "next basis");
  const g = matrixOf(gram, columns, columns);
  const replace = async (factor: Matrix) => {
    await matmul(gpu, { form: "nn", a: y, b: factor, c: matrixOf(next, rows, columns) });
    gpu.copy(next.buffer, 0, y.buffer, 0, 4 * rows * columns);
  };
  await matmul(gpu, { form: "tn", a: y, b: y, c: g });
  const { largest } = bounds(await gpu.readFloats(gram.buffer, columns * columns), columns);
  if (largest === 0) return;
  using scale = diagonal(gpu, columns, 1 / Math.sqrt(largest));
  await replace(matrixOf(scale, columns, columns));
  using threeHalves = diagonal(gpu, columns, 1.5);
  for (let step = 1; step <= STEPS; step++) {
    // Y <- Y (3/2 I - 1/2 Y^T Y)
    gpu.copy(threeHalves.buffer, 0, gram.buffer, 0, 4 * columns * columns);
    await matmul(gpu, { form: "tn", a: y, b: y, c: g, scale: -0.5, accumulate: true });
    await replace(g);
    // At the end of the iteration the factor is the identity.
    if (step % CHECKED !== 0) continue;
    const { distance } = bounds(await gpu.readFloats(gram.buffer, columns * columns), columns);
    if (distance < ORTHONORMAL) return;
  }
}

/**
 * An orthonormal basis (rows, rank) of the span of A's `rank` leading left singular vectors. The caller frees it. Each
 * iteration applies A A^T once: a direction of singular value t s, s being one of the leading ones, is left with t^(2
 * iterations) of its part.
 */
export async function leadingSubspace(gpu: Gpu, a: Matrix, rank: number, iterations = 6): Promise<PooledBuffer> {
  const { rows, columns } = a;
  const basis = gpu.upload(gaussian(rows * rank), "basis");
  using image = gpu.buffer(4 * columns * rank, "image");
  const q = matrixOf(basis, rows, rank);
  const z = matrixOf(image, columns, rank);
  for (let i = 0; i < iterations; i++) {
    await orthonormalise(gpu, q);
    await matmul(gpu, { form: "tn", a, b: q, c: z });
    await matmul(gpu, { form: "nn", a, b: z, c: q });
  }
  await orthonormalise(gpu, q);
  return basis;
}
