/** Heads whose columns come from several matrices, or of which only some are needed. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, Target } from "../recorder.ts";
import { rowsOf, showShape, type Tensor } from "../tensor.ts";

/** Columns of every head of a matrix (N, heads * width), or of its one head for all. */
export interface HeadColumns {
  readonly x: Tensor;
  /** Columns of a head of x. */
  readonly width: number;
  /** First of them, and how many. */
  readonly first: number;
  readonly columns: number;
}

interface Layout {
  readonly heads: number;
  readonly width: number;
  readonly first: number;
}

function move(rec: Recorder, x: Tensor, from: Layout, to: Layout, columns: number, { into, accumulate }: Target): void {
  const count = rowsOf(x).rows * to.heads * to.width;
  rec.step({
    kernel: "heads/move-heads",
    bind: { x, y: into },
    params: {
      ...{ count, columns, accumulate },
      ...{ out_heads: to.heads, out_width: to.width, to: to.first },
      ...{ in_heads: from.heads, in_width: from.width, from_column: from.first },
    },
    groups: spanGroups(count),
  });
}

/**
 * Columns of heads side by side: parts of (N, heads * their width), or (N, their width) for all heads alike, -> (N,
 * heads * width). Columns that no part fills are 0. Throws RangeError where a part does not fit.
 */
export function joinHeads(rec: Recorder, heads: number, width: number, parts: readonly HeadColumns[]): Tensor {
  const [first] = parts;
  if (!first) throw new RangeError("no columns of heads to join");
  let to = 0;
  const placed = parts.map(({ x, width: own, first, columns }) => {
    const { width: wide } = rowsOf(x);
    const count = wide / own;
    if ((count !== 1 && count !== heads) || first + columns > own || to + columns > width)
      throw new RangeError(
        `${x.label} ${showShape(x.shape)}: ${columns} columns from ${first} of ${own} for ${heads} heads of ${width}`,
      );
    const place = { x, columns, from: { heads: count, width: own, first }, to: { heads, width, first: to } };
    to += columns;
    return place;
  });
  const y = rec.result(
    [rowsOf(first.x).rows, heads * width],
    parts.map(({ x }) => x),
    `heads of ${first.x.label}`,
  );
  for (const [i, { x, columns, from, to }] of placed.entries())
    move(rec, x, from, to, columns, { into: y, accumulate: i === 0 ? 0 : 1 });
  rec.onBackward(y, (dy) => {
    for (const { x, columns, from, to } of placed) if (x.needsGrad) move(rec, dy, to, from, columns, rec.gradient(x));
  });
  return y;
}
