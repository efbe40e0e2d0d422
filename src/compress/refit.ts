/**
 * Scales and offsets of groups by least squares where the integers are given: the s and z of every row of W with the
 * least (w - v) H (w - v)^T, v = s q + z in each group. Guo et al. 2024, decoupleQ, https://arxiv.org/abs/2404.12759
 *
 * Sums are f32 on the GPU; the systems, 2 groups wide for each row, are solved in f64 on the host.
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { foldGroups, LANES } from "../gpu/grid.ts";
import { choleskyFactor, solveLower, solveUpper } from "../tensor/linear-algebra/cholesky.ts";
import { type Matrix, matmul } from "../tensor/linear-algebra/matmul.ts";

/** Rows of integers and what they stand for: v = s q + z. */
export interface Affine {
  /** (rows, columns) */
  readonly codes: Uint8Array;
  /** (rows, groups) */
  readonly scales: Float32Array;
  readonly offsets: Float32Array;
}

/** A matrix W on the GPU with the second moments that weigh its errors. */
export interface Weighed {
  readonly gpu: Gpu;
  readonly weight: PooledBuffer;
  readonly rows: number;
  readonly columns: number;
  readonly gram: Matrix;
  readonly group: number;
}

/** Values of systems that are on the GPU at once. */
const MOST_VALUES = 2 ** 24;

const groupsIn = ({ columns, group }: Pick<Weighed, "columns" | "group">): number => Math.ceil(columns / group);

/** Records sums over groups of a b, and of b, of (rows, columns) matrices. */
async function groupSums(
  { gpu, columns }: Weighed,
  rows: number,
  sizes: { readonly group: number; readonly parts: number; readonly at: number },
  bind: { readonly a: GPUBuffer; readonly b: GPUBuffer; readonly products: GPUBuffer; readonly sums?: GPUBuffer },
): Promise<void> {
  const { group, parts, at } = sizes;
  const width = Math.ceil(columns / group);
  const kernel = await gpu.kernel("compress/group-sums", { flags: bind.sums ? ["sums"] : [] });
  const { sums, ...others } = bind;
  gpu.run(kernel, {
    bind: { ...others, ...(sums ? { sums } : {}) },
    params: { rows, columns, group, width, parts, at },
    groups: foldGroups(Math.ceil((rows * width) / LANES)),
  });
}

/** Values of rows of integers, f32. */
export function affineValues({ codes, scales, offsets }: Affine, columns: number, group: number): Float32Array {
  const groups = Math.ceil(columns / group);
  return Float32Array.from(codes, (code, i) => {
    const cell = Math.floor(i / columns) * groups + Math.floor((i % columns) / group);
    return Math.fround(code * scales[cell]!) + offsets[cell]!;
  });
}

/** (w - v) H (w - v)^T of every row. */
export async function rowErrors(work: Weighed, found: Affine): Promise<Float64Array> {
  const { gpu, weight, rows, columns, gram, group } = work;
  const values = affineValues(found, columns, group);
  const before = await gpu.readFloats(weight.buffer, rows * columns);
  using difference = gpu.upload(
    values.map((v, i) => v - before[i]!),
    "difference",
  );
  using moved = gpu.buffer(4 * rows * columns, "difference by H");
  const a = { buffer: difference.buffer, rows, columns };
  await matmul(gpu, { form: "nn", a, b: gram, c: { buffer: moved.buffer, rows, columns } });
  using errors = gpu.buffer(4 * rows, "errors of rows");
  const bind = { a: difference.buffer, b: moved.buffer, products: errors.buffer };
  await groupSums(work, rows, { group: columns, parts: 1, at: 0 }, bind);
  return Float64Array.from(await gpu.readFloats(errors.buffer, rows), (x) => Math.max(0, x));
}

/** Sums of H over pairs of groups (groups, groups), f64. */
async function gramSums({ gpu, columns, gram, group }: Weighed): Promise<Float64Array> {
  const groups = Math.ceil(columns / group);
  const values = await gpu.readFloats(gram.buffer, columns ** 2, 4 * (gram.start ?? 0));
  const sums = new Float64Array(groups ** 2);
  for (let i = 0; i < columns; i++)
    for (let j = 0; j < columns; j++)
      sums[Math.floor(i / group) * groups + Math.floor(j / group)]! += values[i * columns + j]!;
  return sums;
}

/** What the systems of some rows are made of, each (rows, groups) or (rows, groups, groups). */
interface Terms {
  /** q_g^T H_gh q_h */
  readonly squares: Float32Array;
  /** 1_g^T H_gh q_h */
  readonly sums: Float32Array;
  /** q_g^T (H w)_g */
  readonly targets: Float32Array;
  /** 1^T (H w)_g */
  readonly levels: Float32Array;
}

/** Terms of the rows from `first` on. */
async function termsOf(work: Weighed, codes: Uint8Array, first: number, rows: number): Promise<Terms> {
  const { gpu, weight, columns, gram, group } = work;
  const groups = groupsIn(work);
  const own = Float32Array.from(codes.subarray(first * columns, (first + rows) * columns));
  using integers = gpu.upload(own, "integers");
  using moved = gpu.buffer(4 * own.length, "integers by H");
  using squares = gpu.buffer(4 * rows * groups ** 2, "squares");
  using sums = gpu.buffer(4 * rows * groups ** 2, "sums");
  using targets = gpu.buffer(4 * rows * groups, "targets");
  using levels = gpu.buffer(4 * rows * groups, "levels");
  const whole = { buffer: moved.buffer, rows, columns };
  for (let h = 0; h < groups; h++) {
    const start = h * group;
    const size = Math.min(group, columns - start);
    const a = { buffer: integers.buffer, rows, columns: size, start, pitch: columns };
    const b = { buffer: gram.buffer, rows: size, columns, start: (gram.start ?? 0) + start * columns };
    await matmul(gpu, { form: "nn", a, b, c: whole });
    const bind = { a: integers.buffer, b: moved.buffer, products: squares.buffer, sums: sums.buffer };
    await groupSums(work, rows, { group, parts: groups, at: h }, bind);
  }
  await matmul(gpu, {
    form: "nn",
    a: { buffer: weight.buffer, rows, columns, start: first * columns },
    b: gram,
    c: whole,
  });
  const bind = { a: integers.buffer, b: moved.buffer, products: targets.buffer, sums: levels.buffer };
  await groupSums(work, rows, { group, parts: 1, at: 0 }, bind);
  return {
    squares: await gpu.readFloats(squares.buffer, rows * groups ** 2),
    sums: await gpu.readFloats(sums.buffer, rows * groups ** 2),
    targets: await gpu.readFloats(targets.buffer, rows * groups),
    levels: await gpu.readFloats(levels.buffer, rows * groups),
  };
}

/**
 * x of A x = b for a symmetric matrix of n, with 1e-7 of its diagonal's size added; undefined where it has no factor.
 */
function solve(a: Float64Array, b: Float64Array, n: number): Float64Array | undefined {
  // Scaled to a diagonal of ones, since integers are larger than the 1 that offsets count with.
  const size = Float64Array.from({ length: n }, (_, i) => 1 / Math.sqrt(Math.max(a[i * n + i]!, 1e-30)));
  const scaled = a.map((x, k) => x * size[Math.floor(k / n)]! * size[k % n]!);
  for (let i = 0; i < n; i++) scaled[i * n + i]! += 1e-7;
  const factor = choleskyFactor(scaled, n);
  if (!factor) return undefined;
  const right = b.map((y, i) => y * size[i]!);
  return solveUpper(factor, solveLower(factor, right, n), n).map((y, i) => y * size[i]!);
}

/**
 * The best scales and offsets for integers; of rows whose system cannot be solved those that were given. With `middle`,
 * offsets are -middle times the scale, as of integers about the middle.
 */
export async function refit(work: Weighed, found: Affine, middle?: number): Promise<Affine> {
  const { rows } = work;
  const groups = groupsIn(work);
  const [scales, offsets] = [found.scales.slice(), found.offsets.slice()];
  const ones = await gramSums(work);
  const most = Math.max(1, Math.floor(MOST_VALUES / groups ** 2));
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    const terms = await termsOf(work, found.codes, first, count);
    for (let row = 0; row < count; row++) {
      const solved = solveRow(terms, ones, row, groups, middle);
      if (!solved?.every(Number.isFinite)) continue;
      for (let g = 0; g < groups; g++) {
        const at = (first + row) * groups + g;
        scales[at] = solved[g]!;
        offsets[at] = middle === undefined ? solved[groups + g]! : -middle * scales[at]!;
      }
    }
  }
  return { codes: found.codes, scales, offsets };
}

/** Scales, and offsets unless they follow from `middle`, of a row. */
function solveRow(terms: Terms, ones: Float64Array, row: number, groups: number, middle?: number) {
  const { squares, sums, targets, levels } = terms;
  const pair = (values: Float32Array, g: number, h: number) => values[(row * groups + g) * groups + h]!;
  const one = (values: Float32Array, g: number) => values[row * groups + g]!;
  if (middle !== undefined) {
    const a = Float64Array.from({ length: groups ** 2 }, (_, k) => {
      const [g, h] = [Math.floor(k / groups), k % groups];
      // (q - m)_g^T H_gh (q - m)_h
      return pair(squares, g, h) - middle * (pair(sums, g, h) + pair(sums, h, g)) + middle ** 2 * ones[k]!;
    });
    const b = Float64Array.from({ length: groups }, (_, g) => one(targets, g) - middle * one(levels, g));
    return solve(a, b, groups);
  }
  const n = 2 * groups;
  const a = Float64Array.from({ length: n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    const [g, h] = [i % groups, j % groups];
    if (i < groups) return j < groups ? pair(squares, g, h) : pair(sums, h, g);
    return j < groups ? pair(sums, g, h) : ones[g * groups + h]!;
  });
  const b = Float64Array.from({ length: n }, (_, i) => (i < groups ? one(targets, i) : one(levels, i - groups)));
  return solve(a, b, n);
}
