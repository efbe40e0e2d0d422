/** Sums: of all values, of rows, of columns, and inner products. Fixed order, f32. */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam, Target } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { gatherGradient } from "./gather.ts";

const DOT_VALUES = 16384; // of wgsl/reduce/dot.wgsl
const BLOCK_ROWS = 256;

/** Appends the column sums of x (..., C) into `target` (C): the gradient of a bias. Scratch: one row per 256 rows. */
export const columnSums = (rec: Recorder, x: Tensor, target: Target): void => foldColumns(rec, x, target, []);

/** The largest value of each column of x (..., C), 0 at the least, into `target` (C). Without a way back. */
export const columnMaxima = (rec: Recorder, x: Tensor, target: Target): void =>
  foldColumns(rec, x, target, ["largest"]);

function foldColumns(rec: Recorder, x: Tensor, { into, accumulate }: Target, flags: string[]): void {
  const { rows: n, width: c } = rowsOf(x);
  const step = (from: Tensor, sums: Tensor, count: number, rows: number, adding: StepParam) =>
    rec.step({
      kernel: "reduce/column-sums",
      flags,
      bind: { x: from, sums },
      params: { n: count, c, rows, accumulate: adding },
      groups: [Math.ceil(c / 64), Math.ceil(count / rows)],
    });
  const blocks = Math.ceil(n / BLOCK_ROWS);
  if (blocks <= 1) {
    step(x, into, n, Math.max(1, n), accumulate);
    return;
  }
  const partial = rec.scratch([blocks, c], "column sums of blocks");
  step(x, partial, n, BLOCK_ROWS, 0);
  step(partial, into, blocks, blocks, accumulate);
}

function total(rec: Recorder, a: Tensor, b: Tensor | undefined, y: Tensor): void {
  const n = sizeOf(a.shape);
  const groups = Math.max(1, Math.ceil(n / DOT_VALUES));
  const partial = groups === 1 ? y : rec.scratch([groups], "partial sums");
  const flags = b ? ["pair"] : [];
  const bind: Record<string, Tensor> = b ? { a, b, sums: partial } : { a, sums: partial };
  rec.step({ kernel: "reduce/dot", flags, bind, params: { n }, groups: spanGroups(n, DOT_VALUES) });
  if (groups > 1) total(rec, partial, undefined, y);
}

function spread(rec: Recorder, x: Tensor, { into, accumulate }: Target, c: number, scale = 1): void {
  const count = sizeOf(into.shape);
  rec.step({
    kernel: "reduce/spread",
    bind: { x, y: into },
    params: { count, c, scale, accumulate },
    groups: spanGroups(count),
  });
}

/** Sum of all values: (1). */
export function sum(rec: Recorder, x: Tensor): Tensor {
  const y = rec.result([1], [x], `sum of ${x.label}`);
  total(rec, x, undefined, y);
  rec.onBackward(y, (dy) => spread(rec, dy, rec.gradient(x), sizeOf(x.shape)));
  return y;
}

/** Mean of all values: (1). */
export const mean = (rec: Recorder, x: Tensor): Tensor =>
  rowSum(rec, rec.reshape(x, [1, sizeOf(x.shape)]), 1 / sizeOf(x.shape));

/** Inner product of two tensors of one shape: (1). */
export function dot(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  if (sizeOf(a.shape) !== sizeOf(b.shape))
    throw new RangeError(`dot of ${showShape(a.shape)} and ${showShape(b.shape)}`);
  const y = rec.result([1], [a, b], `${a.label} . ${b.label}`);
  total(rec, a, b, y);
  rec.onBackward(y, (dy) => {
    const n = sizeOf(a.shape);
    for (const [x, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!x.needsGrad) continue;
      const target = rec.gradient(x);
      rec.step({
        kernel: "reduce/scaled-by",
        bind: { x: other, factor: dy, y: target.into },
        params: { count: n, scale: 1, accumulate: target.accumulate },
        groups: spanGroups(n),
      });
    }
  });
  return y;
}

/** Sums over the last dimension, times `scale`: (..., C) -> (...). */
export function rowSum(rec: Recorder, x: Tensor, scale = 1): Tensor {
  const { rows: n, width: c } = rowsOf(x);
  const y = rec.result(x.shape.slice(0, -1), [x], `row sums of ${x.label}`);
  rec.step({
    kernel: "reduce/row-sums",
    bind: { x, sums: y },
    params: { n, c, scale, accumulate: 0 },
    ...rowWork(rec, n, c),
  });
  rec.onBackward(y, (dy) => spread(rec, dy, rec.gradient(x), c, scale));
  return y;
}

/** Largest value of every row, (..., C) -> (...); the gradient goes to the first of equals. */
export function rowMax(rec: Recorder, x: Tensor): Tensor {
  const { rows: n, width: c } = rowsOf(x);
  const y = rec.result(x.shape.slice(0, -1), [x], `row maxima of ${x.label}`);
  const place = rec.scratch([n], "places of maxima", "i32");
  rec.step({ kernel: "reduce/row-maxima", bind: { x, y, place }, params: { n, c }, ...rowWork(rec, n, c) });
  rec.onBackward(y, (dy) => gatherGradient(rec, x, place, dy));
  return y;
}

/** Longest row that one lane sums alone: its f32 sum has no tree to keep it accurate. */
const SERIAL_WIDTH = 2048;

/**
 * Flags and workgroups of a kernel of wgsl/lib/row.wgsl over `rows` rows: one workgroup each, on software drivers one
 * lane.
 */
export function rowWork(
  { profile }: Recorder,
  rows: number,
  width: number,
): { flags: string[]; groups: [number, number] } {
  return profile.software && width <= SERIAL_WIDTH
    ? { flags: ["serial"], groups: foldGroups(Math.ceil(rows / 64)) }
    : { flags: [], groups: foldGroups(rows) };
}
