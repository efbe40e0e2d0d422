/** A matrix as several of fewer columns, such as a fused q, k, v. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowsOf, type Tensor } from "../tensor.ts";

/** (N, sum of widths) -> one (N, width) each, copied. */
export function splitColumns(rec: Recorder, x: Tensor, widths: readonly number[]): Tensor[] {
  const { rows: n, width } = rowsOf(x);
  if (widths.reduce((a, b) => a + b, 0) !== width)
    throw new RangeError(`${x.label}: ${width} columns do not split into ${widths.join(", ")}`);
  const starts = widths.map((_, i) => widths.slice(0, i).reduce((a, b) => a + b, 0));
  const copy = (from: Tensor, to: Tensor, columns: number, first: number, into: number, accumulate: StepParam) =>
    rec.step({
      kernel: "columns/copy-columns",
      bind: { x: from, y: to },
      params: {
        count: n * columns,
        columns,
        from_width: rowsOf(from).width,
        first,
        to_width: rowsOf(to).width,
        into,
        accumulate,
      },
      groups: spanGroups(n * columns),
    });
  const parts = widths.map((columns, i) => {
    const y = rec.result([n, columns], [x], `${x.label}[:, ${starts[i]}]`);
    copy(x, y, columns, starts[i]!, 0, 0);
    return y;
  });
  rec.onBackwardOf(parts, () => {
    const { into, accumulate } = rec.gradient(x);
    for (const [i, part] of parts.entries()) {
      const dy = rec.incoming(part) ?? rec.constant(new Float32Array(n * widths[i]!), part.shape, "zeros");
      copy(dy, into, widths[i]!, 0, starts[i]!, accumulate);
    }
  });
  return parts;
}
