/**
 * Chooses weights of a layer that go, on the GPU and without a read-back: the least important of the whole matrix, of
 * each row or of a stretch of columns, or all but some of every few inputs. How much a weight counts is its magnitude
 * times a factor of its input. Marks are u32, laid out as the weights: 1 for those that go.
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { foldGroups, spanGroups } from "../gpu/grid.ts";

/** Which weights go: a share of them, or all but `keep` of every `of` inputs of a row that follow one another. */
export type Sparsity = { readonly share: number } | { readonly keep: number; readonly of: number };

interface Weights {
  readonly gpu: Gpu;
  readonly rows: number;
  readonly columns: number;
  readonly weight: Pick<PooledBuffer, "buffer">;
}

export interface Lowest {
  /** What a share is counted in. */
  readonly of: "matrix" | "row";
  /** Of the weights that are looked at. */
  readonly share: number;
  /** Columns that are looked at, all when left out. */
  readonly from?: number;
  readonly to?: number;
}

/** How many of `count` weights a share is: rounded down, but for what the share's own rounding may have lost. */
export const countOf = (share: number, count: number): number => Math.min(count, Math.floor(share * count + 1e-6));

/** Marks the least important weights, exactly as many as the share says; of equal ones those of the first places. */
export async function markLowest(
  { gpu, rows, columns, weight }: Weights,
  factors: GPUBuffer,
  { of, share, from = 0, to = columns }: Lowest,
  marks: GPUBuffer,
): Promise<void> {
  const width = to - from;
  const selections = of === "row" ? rows : 1;
  const rowsEach = rows / selections;
  const count = countOf(share, rowsEach * width);
  using cuts = gpu.buffer(8 * selections, "cuts");
  const params = { selections, rows: rowsEach, pitch: columns, from_column: from, width };
  const read = { weight: weight.buffer, factors };
  if (count > 0) {
    const placed = { ...params, count, place_bits: 32 - Math.clz32(rowsEach * width - 1) };
    const kernel = await gpu.kernel("weight-selection/lowest-cuts");
    gpu.run(kernel, { bind: { ...read, cuts: cuts.buffer }, params: placed, groups: foldGroups(selections) });
  }
  const kernel = await gpu.kernel("weight-selection/mark-lowest");
  const bind = { ...read, cuts: cuts.buffer, marks };
  gpu.run(kernel, { bind, params: { ...params, some_go: Number(count > 0) }, groups: spanGroups(rows * width) });
}

/** Marks all but `keep` of every `of` inputs of a row that follow one another. */
export async function markPattern(
  { gpu, rows, columns, weight }: Weights,
  factors: GPUBuffer,
  { keep, of }: Extract<Sparsity, { of: number }>,
  marks: GPUBuffer,
): Promise<void> {
  const kernel = await gpu.kernel("weight-selection/mark-pattern");
  const bind = { weight: weight.buffer, factors, marks };
  const params = { rows, columns, keep, of_inputs: of };
  gpu.run(kernel, { bind, params, groups: spanGroups((rows * columns) / of) });
}

/** Sets marked weights to 0; with `whole` there is a mark for each column alone. */
export async function dropMarked(
  { gpu, rows, columns, weight }: Weights,
  marks: GPUBuffer,
  whole: "columns" | "weights" = "weights",
): Promise<void> {
  const flags = whole === "columns" ? ["whole_columns"] : [];
  const kernel = await gpu.kernel("weight-selection/drop-marked", { flags });
  const bind = { marks, weight: weight.buffer };
  gpu.run(kernel, { bind, params: { rows, columns }, groups: spanGroups(rows * columns) });
}

/** Sets to 0 the least important weights of a layer, or what a pattern leaves out. */
export async function dropLowest(
  layer: Weights,
  target: Sparsity,
  of: Lowest["of"],
  factors: Float32Array,
): Promise<void> {
  const { gpu, rows, columns } = layer;
  using held = gpu.upload(factors, "factors of inputs");
  using marks = gpu.buffer(4 * rows * columns, "marks");
  if ("share" in target) await markLowest(layer, held.buffer, { of, share: target.share }, marks.buffer);
  else await markPattern(layer, held.buffer, target, marks.buffer);
  await dropMarked(layer, marks.buffer);
}
