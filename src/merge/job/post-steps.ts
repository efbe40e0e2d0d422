/** Steps after any method: the result's change from the base, scaled tensor by tensor. */
import { UserError } from "../../errors.ts";
import { linesScale } from "../methods/layers/lines.ts";
import type { MergeTask } from "./task.ts";

/**
 * LiNeS after a merge: scale of each tensor's change, by its depth. Throws a UserError when there is no base to change
 * from.
 */
export function linesScales(
  plan: { readonly tensors: readonly MergeTask[] },
  options: Readonly<Record<string, unknown>>,
): (task: MergeTask) => number {
  if (plan.tensors.every((task) => task.base === undefined)) {
    throw new UserError("--post lines scales the change from a base, but this merge has none", "give --base");
  }
  return (task) => linesScale(task.depth, Number(options.lines_alpha), Number(options.lines_beta));
}
