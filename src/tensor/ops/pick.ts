/** A matrix of some rows and columns of another, each once, with zeros between them where they are asked for. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";

/** For each place the row or column of the source; -1 for zeros. All, as they are, where it is left out. */
export interface Places {
  readonly rows?: Int32Array | undefined;
  readonly columns?: Int32Array | undefined;
}

const all = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);

/** Where each of n places went; -1 for those that went nowhere. */
function turned(places: Int32Array, n: number): Int32Array {
  const back = new Int32Array(n).fill(-1);
  for (const [to, from] of places.entries()) if (from >= 0) back[from] = to;
  return back;
}

function step(rec: Recorder, x: Tensor, rows: Int32Array, columns: Int32Array, y: Tensor, accumulate: StepParam): void {
  const count = rows.length * columns.length;
  rec.step({
    kernel: "columns/pick",
    bind: {
      ...{ x, y },
      rows: rec.constant(rows, [rows.length], "rows"),
      columns: rec.constant(columns, [columns.length], "columns"),
    },
    params: { count, width: columns.length, source_width: rowsOf(x).width, accumulate },
    groups: spanGroups(count),
  });
}

/**
 * x (R, C) -> (rows, columns); a vector (R) gives a vector. Throws RangeError for places outside of x, and for one that
 * comes twice, whose gradient would be a sum.
 */
export function pick(rec: Recorder, x: Tensor, { rows, columns }: Places): Tensor {
  if (!rows && !columns) return x;
  const [count = 0, ...rest] = x.shape;
  const width = sizeOf(rest);
  const own = { rows: rows ?? all(count), columns: columns ?? all(width) };
  for (const [places, n] of [
    [own.rows, count],
    [own.columns, width],
  ] as const) {
    const real = places.filter((place) => place >= 0);
    if (real.some((place) => place >= n) || new Set(real).size !== real.length)
      throw new RangeError(`${x.label} is ${showShape(x.shape)}: places are in it, and come once`);
  }
  const matrix = rec.reshape(x, [count, width]);
  const shape = columns ? [own.rows.length, own.columns.length] : [own.rows.length, ...rest];
  const y = rec.result(shape, [x], `some of ${x.label}`);
  step(rec, matrix, own.rows, own.columns, y, 0);
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const back = { rows: turned(own.rows, count), columns: turned(own.columns, width) };
    const flat = rec.reshape(dy, [own.rows.length, own.columns.length]);
    step(rec, flat, back.rows, back.columns, into, accumulate);
  });
  return y;
}
