/**
 * What the nearest entries of a memory say of rows, as a loss: those of the right label against all of them. Two forms,
 * of LOOK (supervised pre-training by leave-one-out neighbours, 2021) and of AdaNPC's training (ICML 2023).
 */
import type { Dynamic, Recorder } from "../recorder.ts";
import { expectShape, rowsOf, type Tensor } from "../tensor.ts";
import { mulInto } from "./elementwise.ts";
import { rowWork } from "./reduce.ts";

export interface Neighbours {
  /** Labels of the rows, (N) i32; a negative one gives 0. */
  readonly targets: Tensor;
  /** Numbers of the rows, (N) i32: entries of a row's own number do not count for it. */
  readonly own: Tensor;
  /** Label and number of each entry, (M, 2) f32; a negative label: there is none. */
  readonly tags: Tensor;
  /** How many of the largest cosines count; those that equal the last one do, too. */
  readonly k: number;
  /** 1 / T: cosines are multiplied by it. */
  readonly inverse: number | Dynamic;
  /**
   * `likelihood`: -log of the share of the right label, and where no neighbour has it, the nearest entry that has it
   * joins them. `vote`: -log min(1, share + 1e-5).
   */
  readonly form: "likelihood" | "vote";
}

const FLOOR = 1e-5;

/**
 * Cosines (N, M) of rows and entries -> losses (N). A row with no entry that may count gives 0 and takes no gradient.
 * Working memory: as large as the cosines.
 */
export function neighbourLoss(rec: Recorder, cosines: Tensor, given: Neighbours): Tensor {
  const { targets, own, tags, k, inverse, form } = given;
  const { rows: n, width: m } = rowsOf(cosines);
  expectShape(targets, [n], "neighbours");
  expectShape(own, [n], "neighbours");
  expectShape(tags, [m, 2], "neighbours");
  if (!Number.isInteger(k) || k < 1) throw new RangeError(`${k} neighbours`);
  const losses = rec.result([n], [cosines], "losses by neighbours");
  const slopes = rec.scratch([n, m], "slopes by neighbours");
  const { flags, groups } = rowWork(rec, n, m);
  rec.step({
    kernel: "neighbours/vote",
    flags: [...flags, ...(form === "vote" ? ["voted"] : [])],
    bind: { cosines, targets, own, tags, losses, slopes },
    params: { n, m, k, inverse, floor: FLOOR },
    groups,
  });
  rec.onBackward(losses, (dy) => mulInto(rec, slopes, rec.reshape(dy, [n, 1]), rec.gradient(cosines)));
  return losses;
}
