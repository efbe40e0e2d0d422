/** Which units fire: those that hold the first share of a row's mass, or are the largest. No gradients. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, type Tensor } from "../tensor.ts";

/** Largest |x| of each column over every `rows` neighbouring rows: (G rows, C) -> (G, C). */
export function peaks(rec: Recorder, x: Tensor, rows: number): Tensor {
  const { rows: n, width: c } = rowsOf(x);
  if (n % rows !== 0) throw new RangeError(`${x.label}: ${n} rows are no groups of ${rows}`);
  const y = rec.scratch([n / rows, c], `peaks of ${x.label}`);
  const count = (n / rows) * c;
  rec.step({
    kernel: "firing/peaks",
    bind: { x, y },
    params: { count, c, t: rows },
    groups: spanGroups(count),
  });
  return y;
}

/**
 * 1 for the largest values of each row while their sum is at most `mass` of the row's, else 0; the largest is always
 * kept. With a mass of 1 those above 1e-5 of the sum. x (N, C), not negative, -> (N, C).
 */
export function topMass(rec: Recorder, x: Tensor, mass: number): Tensor {
  const { rows, width: c } = rowsOf(x);
  const y = rec.scratch(x.shape, `what fires of ${x.label}`);
  rec.step({
    kernel: "firing/top-mass",
    bind: { x, y },
    params: { count: rows * c, c, mass },
    groups: spanGroups(rows * c),
  });
  return y;
}

/** 1 for the k largest values of each row, of equal ones those that come first, else 0. x (N, C) -> (N, C). */
export function topCount(rec: Recorder, x: Tensor, k: number): Tensor {
  const { rows, width: c } = rowsOf(x);
  const y = rec.scratch(x.shape, `the largest of ${x.label}`);
  rec.step({
    kernel: "firing/top-count",
    bind: { x, y },
    params: { count: rows * c, c, k },
    groups: spanGroups(rows * c),
  });
  return y;
}
