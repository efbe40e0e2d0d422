/**
 * The distance between two distributions over different vocabularies: how far their probabilities are apart when both
 * are sorted. Universal logit distillation, arXiv:2402.12030.
 */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

/**
 * (N, V) -> values from the largest to the smallest and where they were, (N, P) each, P the next power of two. No
 * gradient.
 */
export function sortRows(rec: Recorder, x: Tensor): { keys: Tensor; order: Tensor } {
  const { rows: n, width: v } = rowsOf(x);
  const p = 2 ** Math.ceil(Math.log2(v));
  const keys = rec.scratch([n, p], "sorted rows");
  const order = rec.scratch([n, p], "order of sorted rows", "u32");
  rec.step({ kernel: "sorted-gap/sort-rows", bind: { x, keys, order }, params: { n, v, p }, groups: foldGroups(n) });
  return { keys, order };
}

/** Places of the k largest values of each row, the largest first, equals in their order: (N, V) -> (N, k) i32. */
export function topPlaces(rec: Recorder, x: Tensor, k: number): Tensor {
  const { rows: n, width: v } = rowsOf(x);
  if (k > v) throw new RangeError(`the ${k} largest of ${v} values`);
  const { order } = sortRows(rec, x);
  const places = rec.scratch([n, k], "places of the largest", "i32");
  rec.step({
    kernel: "sorted-gap/first-places",
    bind: { order, places },
    params: { count: n * k, k, p: order.shape[1]! },
    groups: spanGroups(n * k),
  });
  return places;
}

/** Logarithms of what all probabilities of a row are multiplied by, (N) each. */
export interface Factors {
  readonly own: Tensor;
  readonly other: Tensor;
}

/**
 * Sum over ranks of |p - q|: logits (N, S) and (N, T), targets (N) i32 -> (N), at most 2 without factors. Rows with a
 * negative target give 0 and take no gradient. A gradient goes to the student's factors too. Working memory: both
 * sorted, and once more the student's order.
 */
export function sortedGap(rec: Recorder, student: Tensor, teacher: Tensor, targets: Tensor, factors?: Factors): Tensor {
  const { rows: n, width: s } = rowsOf(student);
  const { rows, width: t } = rowsOf(teacher);
  const scaled = factors ? [factors.own, factors.other] : [];
  if (rows !== n || [targets, ...scaled].some(({ shape }) => sizeOf(shape) !== n))
    throw new RangeError(
      `sorted gap: student ${showShape(student.shape)}, teacher ${showShape(teacher.shape)}, ${showShape(targets.shape)} targets`,
    );
  if (teacher.needsGrad || factors?.other.needsGrad)
    throw new Error("sorted gap: no gradient goes to the teacher; stop it first");
  const [own, other] = [sortRows(rec, student), sortRows(rec, teacher)];
  const loss = rec.result([n], [student, ...scaled], "sorted gap");
  const saved = rec.scratch([n, 4], "log sums of sorted gap");
  const work = rowWork(rec, n, Math.max(s, t));
  const flags = [...work.flags, ...(factors ? ["scaled"] : [])];
  const { groups } = work;
  const params = { n, s, sp: own.keys.shape[1]!, t, tp: other.keys.shape[1]! };
  const sorted = { student: own.keys, teacher: other.keys, targets, saved };
  rec.step({ kernel: "sorted-gap/sorted-gap", flags, bind: { ...sorted, loss, ...factors }, params, groups });
  rec.onBackward(loss, (d_loss) => {
    const { into, accumulate } = rec.gradient(student);
    const pull = factors && rec.scratch([n], "gradient of factors");
    rec.step({
      kernel: "sorted-gap/sorted-gap-gradient",
      flags,
      bind: { ...sorted, order: own.order, d_loss, dx: into, ...(pull ? { own: factors.own, pull } : {}) },
      params: { ...params, accumulate },
      groups,
    });
    if (pull) rec.addGradient(factors.own, pull);
  });
  return loss;
}
