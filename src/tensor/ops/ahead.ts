/** Rows that stand before each block of others, such as keys before those of every sequence of a batch. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";

/** Blocks of rows that are copied, or summed up. */
interface Rows {
  readonly from: Tensor;
  readonly to: Tensor;
  readonly blocks: number;
  /** Rows of each block that are copied. */
  readonly rows: number;
  /** From a block of `from` to the next, and the first row in one. */
  readonly step: number;
  readonly first: number;
  /** The same of `to`. */
  readonly toStep: number;
  readonly toFirst: number;
  /** So many blocks of `from`, `step` apart, are summed to one. */
  readonly terms?: number;
  readonly accumulate: StepParam;
}

function copyRows(rec: Recorder, given: Rows): void {
  const { from, to, blocks, rows, step, first, toStep, toFirst, terms = 1, accumulate } = given;
  const { width } = rowsOf(from);
  const count = blocks * rows * width;
  rec.step({
    kernel: "ahead/copy-rows",
    bind: { x: from, y: to },
    params: {
      ...{ count, rows, width, x_rows: terms > 1 ? 0 : step, x_first: first, x_next: step, terms },
      ...{ y_rows: toStep, y_first: toFirst, accumulate },
    },
    groups: spanGroups(count),
  });
}

function heightOf(x: Tensor, batch: number): number {
  const height = rowsOf(x).rows / batch;
  if (!Number.isInteger(height)) throw new RangeError(`${x.label} ${showShape(x.shape)} in ${batch} blocks`);
  return height;
}

/** The same rows (n, W) before each of `batch` blocks of x (B T, W) -> (B (n + T), W). */
export function withAhead(rec: Recorder, ahead: Tensor, x: Tensor, batch: number): Tensor {
  const { rows: n, width } = rowsOf(ahead);
  const t = heightOf(x, batch);
  if (rowsOf(x).width !== width)
    throw new RangeError(`${ahead.label} ${showShape(ahead.shape)} before ${x.label} ${showShape(x.shape)}`);
  const whole = n + t;
  const y = rec.result([batch * whole, width], [ahead, x], `${x.label} behind ${ahead.label}`);
  const before = { to: y, blocks: batch, toStep: whole, accumulate: 0 } as const;
  copyRows(rec, { ...before, from: ahead, rows: n, step: 0, first: 0, toFirst: 0 });
  copyRows(rec, { ...before, from: x, rows: t, step: t, first: 0, toFirst: n });
  rec.onBackward(y, (dy) => {
    if (ahead.needsGrad) {
      const { into, accumulate } = rec.gradient(ahead);
      const sum = { blocks: 1, rows: n, step: whole, first: 0, toStep: 0, toFirst: 0, terms: batch };
      copyRows(rec, { from: dy, to: into, ...sum, accumulate });
    }
    if (x.needsGrad) {
      const { into, accumulate } = rec.gradient(x);
      const own = { blocks: batch, rows: t, step: whole, first: n, toStep: t, toFirst: 0 };
      copyRows(rec, { from: dy, to: into, ...own, accumulate });
    }
  });
  return y;
}

/** Without the first n rows of each of `batch` blocks: x (B (n + T), W) -> (B T, W). */
export function withoutAhead(rec: Recorder, x: Tensor, n: number, batch: number): Tensor {
  const { width } = rowsOf(x);
  const whole = heightOf(x, batch);
  const t = whole - n;
  const y = rec.result([batch * t, width], [x], `${x.label} without what stands before`);
  const own = { from: x, to: y, blocks: batch, rows: t, accumulate: 0 } as const;
  copyRows(rec, { ...own, step: whole, first: n, toStep: t, toFirst: 0 });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const zeros = rec.constant(new Float32Array(n * width), [n, width], "zeros");
    const all = { to: into, blocks: batch, toStep: whole, accumulate };
    copyRows(rec, { ...all, from: zeros, rows: n, step: 0, first: 0, toFirst: 0 });
    copyRows(rec, { ...all, from: dy, rows: t, step: t, first: 0, toFirst: n });
  });
  return y;
}

/** Positions (N) i32, `by` further on; those below 0, of padding, stay as they are. */
export function shiftPositions(rec: Recorder, positions: Tensor, by: number): Tensor {
  const count = sizeOf(positions.shape);
  const y = rec.scratch(positions.shape, "positions behind others", "i32");
  rec.step({ kernel: "ahead/shift", bind: { x: positions, y }, params: { count, by }, groups: spanGroups(count) });
  return y;
}
