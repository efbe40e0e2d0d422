/**
 * What a step after a merge is: a scale of the result's change from the base, tensor by tensor. `--post lines` is
 * post-steps/lines.ts.
 */
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { MergeTask } from "./job/task.ts";

export interface PostStep<O extends Options = Options> extends MethodInfo<O> {
  /** The tensor becomes base + scale (merged - base). */
  scale(task: MergeTask, values: Values<O>): number;
}

/** Declares a step; infers the types of its options. */
export const postStep = <const O extends Options>(step: PostStep<O>): PostStep<O> => step;

/** The scale of each tensor's change. Throws a UserError when there is no base to change from. */
export function scalesAfter(
  { method, values }: Bound<PostStep>,
  tensors: readonly MergeTask[],
): (task: MergeTask) => number {
  if (tensors.every((task) => task.base === undefined)) {
    throw new UserError(`--post ${method.name} scales the change from a base, but this merge has none`, "give --base");
  }
  return (task) => method.scale(task, values);
}

declare module "../method/registry.ts" {
  interface Contracts {
    post: PostStep;
  }
}
