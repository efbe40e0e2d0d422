/** A matrix as several of fewer columns, such as a fused q, k, v. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowsOf, type Tensor } from "../tensor.ts";

/** Where columns of a matrix go. */
interface Columns {
  readonly from: Tensor;
  readonly to: Tensor;
  readonly columns: number;
  /** First column of `from`. */
  readonly first: number;
  /** First column of `to`. */
  readonly into: number;
  readonly accumulate: StepParam;
}

function copyColumns(rec: Recorder, { from, to, columns, first, into, accumulate }: Columns): void {
  const count = rowsOf(from).rows * columns;
  rec.step({
    kernel: "columns/copy-columns",
    bind: { x: from, y: to },
    params: { count, columns, from_width: rowsOf(from).width, first, to_width: rowsOf(to).width, into, accumulate },
    groups: spanGroups(count),
  });
}

/** The first column of each of several matrices that stand side by side. */
const startsOf = (widths: readonly number[]) => widths.map((_, i) => widths.slice(0, i).reduce((a, b) => a + b, 0));

/** (N, sum of widths) -> one (N, width) each, copied. */
export function splitColumns(rec: Recorder, x: Tensor, widths: readonly number[]): Tensor[] {
  const { rows: n, width } = rowsOf(x);
  if (widths.reduce((a, b) => a + b, 0) !== width)
    throw new RangeError(`${x.label}: ${width} columns do not split into ${widths.join(", ")}`);
  const starts = startsOf(widths);
  const parts = widths.map((columns, i) => {
    const y = rec.result([n, columns], [x], `${x.label}[:, ${starts[i]}]`);
    copyColumns(rec, { from: x, to: y, columns, first: starts[i]!, into: 0, accumulate: 0 });
    return y;
  });
  rec.onBackwardOf(parts, () => {
    const { into, accumulate } = rec.gradient(x);
    for (const [i, part] of parts.entries()) {
      const dy = rec.incoming(part) ?? rec.constant(new Float32Array(n * widths[i]!), part.shape, "zeros");
      copyColumns(rec, { from: dy, to: into, columns: widths[i]!, first: 0, into: starts[i]!, accumulate });
    }
  });
  return parts;
}

/** One (N, width) each -> (N, sum of widths), copied. */
export function joinColumns(rec: Recorder, parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (!first) throw new RangeError("nothing to join");
  const widths = parts.map((part) => rowsOf(part).width);
  const starts = startsOf(widths);
  const whole = rec.result([rowsOf(first).rows, widths.reduce((a, b) => a + b, 0)], parts, first.label);
  for (const [i, from] of parts.entries())
    copyColumns(rec, { from, to: whole, columns: widths[i]!, first: 0, into: starts[i]!, accumulate: 0 });
  rec.onBackward(whole, (dy) => {
    for (const [i, part] of parts.entries()) {
      if (!part.needsGrad) continue;
      const { into: to, accumulate } = rec.gradient(part);
      copyColumns(rec, { from: dy, to, columns: widths[i]!, first: starts[i]!, into: 0, accumulate });
    }
  });
  return whole;
}
