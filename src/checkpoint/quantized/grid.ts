/**
 * Scales of a matrix, or of a stack of matrices: one for all, per matrix, per row, per column, per group of columns or
 * per block of rows and columns. Blocks at the edges are cut, not padded.
 */

import type { TensorEntry } from "../checkpoint.ts";
import type { Stored } from "./contract.ts";
import { readScales } from "./read.ts";

/** Value (r, c) of the matrix has the scale (⌊r / rowBlock⌋, ⌊c / columnBlock⌋) of its matrix' grid. */
export interface Grid {
  /** Rows of a matrix of the stack, and those of its grid. */
  readonly matrixRows: number;
  readonly gridRows: number;
  readonly rowBlock: number;
  readonly columns: number;
  readonly columnBlock: number;
  /** As people read it. */
  readonly text: string;
}

export interface GridHints {
  /** Rows and columns of a block, as the config says. */
  readonly block?: readonly [number, number] | undefined;
  /** Columns of a group that the config allows; undefined when it says nothing. */
  readonly groups?: readonly number[] | undefined;
}

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
/** What fp8 writers use where nothing says otherwise. */
const USUAL_BLOCK = 128;

/** The grid of scales of shape `scale` over a tensor of shape `shape` (two sides or more); undefined if none fits. */
export function gridOf(shape: readonly number[], scale: readonly number[], hints: GridHints = {}): Grid | undefined {
  const stack = product(shape.slice(0, -2));
  const [o, i] = [shape.at(-2)!, shape.at(-1)!];
  const grid = (gridRows: number, rowBlock: number, columns: number, columnBlock: number, text: string): Grid => ({
    ...{ matrixRows: o, gridRows, rowBlock, columns, columnBlock, text },
  });
  if (product(scale) === 1 && product(shape) > 0)
    return { ...grid(1, stack * o, 1, i, "one scale"), matrixRows: stack * o };
  const leading = shape.slice(0, -2);
  const flat = stack === 1 && scale.length === 1;
  const [rows, columns] = flat ? [scale[0]!, 1] : [scale.at(-2), scale.at(-1)];
  const lead = flat ? leading : scale.slice(0, -2);
  if (stack > 1 && product(scale) === stack && (scale.length === 1 || product(scale.slice(-2)) === 1)) {
    return grid(1, o, 1, i, "one scale per matrix");
  }
  if (rows === undefined || columns === undefined || product(lead) !== stack) return undefined;
  return matrixGrid([o, i], [rows, columns], hints, grid);
}

/** The grid of one matrix: what the config says first, then what only one reading fits. */
function matrixGrid(
  [o, i]: readonly [number, number],
  [rows, columns]: readonly [number, number],
  { block, groups }: GridHints,
  grid: (gridRows: number, rowBlock: number, columns: number, columnBlock: number, text: string) => Grid,
): Grid | undefined {
  const blocks = (b0: number, b1: number) =>
    rows === Math.ceil(o / b0) && columns === Math.ceil(i / b1)
      ? grid(rows, b0, columns, b1, `blocks of ${b0} x ${b1}`)
      : undefined;
  const stated = block && blocks(...block);
  if (stated) return stated;
  const single = rows === o && columns === 1 && groups?.find((group) => group >= i);
  if (single) return grid(o, 1, 1, i, `groups of ${single}`);
  if (rows === o && columns === 1) return grid(o, 1, 1, i, "one scale per row");
  if (rows === 1 && columns === i) return grid(1, o, i, 1, "one scale per column");
  if (rows !== o) return block === undefined ? blocks(USUAL_BLOCK, USUAL_BLOCK) : undefined;
  const even = groups === undefined && i % columns === 0 ? i / columns : undefined;
  const size = groups?.find((group) => Math.ceil(i / group) === columns) ?? even;
  return size === undefined ? undefined : grid(o, 1, columns, size, `groups of ${size}`);
}

/** Row of the scales that a row of the matrix has. */
export const scaleRow = ({ matrixRows, gridRows, rowBlock }: Grid, row: number): number =>
  Math.floor(row / matrixRows) * gridRows + Math.floor((row % matrixRows) / rowBlock);

/** The part of the scales that a range of values needs. */
export interface ScalePart {
  /** Index of the first scale, and how many there are. */
  readonly first: number;
  readonly count: number;
}

/** Scales of the values [first, first + count) of rows of `width`; only the rows of scales that they need. */
export function scalePart(grid: Grid, first: number, count: number, width: number): ScalePart {
  const last = first + count - 1;
  const [r0, r1] = [Math.floor(first / width), Math.floor(last / width)];
  const [s0, s1] = [scaleRow(grid, r0), scaleRow(grid, r1)];
  const from = r0 === r1 ? Math.floor((first % width) / grid.columnBlock) : 0;
  const to = r0 === r1 ? Math.floor((last % width) / grid.columnBlock) + 1 : grid.columns;
  return { first: s0 * grid.columns + from, count: s1 * grid.columns + to - (s0 * grid.columns + from) };
}

/** Reads that part. */
export const partOfScales = (stored: Stored, entry: TensorEntry, { first, count }: ScalePart): Promise<Float32Array> =>
  readScales(stored, entry, first, count);

/** Calls `each` for every run of values of one scale: where it goes, its length, index of its scale, row, column. */
export function eachRun(
  grid: Grid,
  first: number,
  count: number,
  width: number,
  each: (at: number, length: number, scale: number, row: number, column: number) => void,
): void {
  for (let at = 0; at < count; ) {
    const row = Math.floor((first + at) / width);
    const begin = first + at - row * width;
    const end = Math.min(width, begin + count - at);
    const base = scaleRow(grid, row) * grid.columns;
    for (let column = begin; column < end; ) {
      const group = Math.floor(column / grid.columnBlock);
      const stop = Math.min(end, (group + 1) * grid.columnBlock);
      each(at, stop - column, base + group, row, column);
      at += stop - column;
      column = stop;
    }
  }
}
