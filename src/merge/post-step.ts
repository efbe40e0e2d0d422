/**
 * What a step after a merge is: a scale of the result's change from the base, tensor by tensor. `--post lines` is
 * post-steps/lines.ts.
 */
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { MergeTask } from "./job/task.ts";

/** l1 norms of a merge's change of its base, over all tensors. */
export interface ChangeNorms {
  /** Of the sum of the models' changes. */
  readonly summed: number;
  /** Of the result's change. */
  readonly merged: number;
  /** Models of the merge. */
  readonly models: number;
}

export interface PostStep<O extends Options = Options> extends MethodInfo<O> {
  /** The tensor becomes base + scale (merged - base). */
  scale(task: MergeTask, values: Values<O>, norms?: ChangeNorms): number;
  /** Whether these values leave something to the norms of the change. They cost a merge before the one that is kept. */
  needsNorms?(values: Values<O>, models: number): boolean;
}

/** Declares a step; infers the types of its options. */
export const postStep = <const O extends Options>(step: PostStep<O>): PostStep<O> => step;

const mostModels = (tensors: readonly MergeTask[]): number =>
  tensors.reduce((most, { models }) => Math.max(most, models.length), 1);

/** Throws a UserError when there is no base to change from, or what must be read twice can be read only once. */
export function checkStep({ method, values }: Bound<PostStep>, tensors: readonly MergeTask[], streamed: boolean): void {
  if (tensors.every((task) => task.base === undefined))
    throw new UserError(`--post ${method.name} scales the change from a base, but this merge has none`, "give --base");
  if (streamed && method.needsNorms?.(values, mostModels(tensors)))
    throw new UserError(
      `--post ${method.name} reads the models twice to measure their changes, and one of them is a stream`,
      "save it to a file first, or give the step's own options",
    );
}

/** The scale of each tensor's change. `measure` finds norms where the step needs them. */
export async function scalesAfter(
  { method, values }: Bound<PostStep>,
  tensors: readonly MergeTask[],
  measure: () => Promise<ChangeNorms>,
): Promise<(task: MergeTask) => number> {
  const norms = method.needsNorms?.(values, mostModels(tensors)) ? await measure() : undefined;
  return (task) => method.scale(task, values, norms);
}

declare module "../method/registry.ts" {
  interface Contracts {
    post: PostStep;
  }
}
