/** The methods that the page has, in the place of the registry's folders. */
import { UserError } from "../../errors.ts";
import type { MergeMethod } from "../../merge/contract.ts";
import { method as linear } from "../../merge/methods/averages/linear.ts";
import { method as slerp } from "../../merge/methods/spherical/slerp.ts";
import { method as taskArithmetic } from "../../merge/methods/task-vectors/task-arithmetic.ts";
import { method as ties } from "../../merge/methods/task-vectors/ties.ts";

export const METHODS: readonly MergeMethod[] = [linear, slerp, taskArithmetic, ties];

/** A method by name. Throws UserError for one that the page lacks. */
export function methodNamed(name: string): MergeMethod {
  const found = METHODS.find((method) => method.name === name);
  if (!found) throw new UserError(`${name} is not in the page`, `there are ${METHODS.map((m) => m.name).join(", ")}`);
  return found;
}
