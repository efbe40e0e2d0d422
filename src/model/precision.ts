/**
 * How the linear layers of a model compute where numbers of few bits are simulated in f32: what they read, their
 * weights, and the gradients of what they give. Heads, routers, embeddings, norms and losses stay as they are.
 */
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Architecture, ParameterSpec } from "./architecture.ts";
import { HEADS } from "./hidden.ts";

/** What a layer computes with in the place of a tensor; the tensor itself where nothing is said. */
export interface LinearPrecision {
  /** Names of the weights that it is for. */
  readonly weights: ReadonlySet<string>;
  /** What a layer reads, (N, in). */
  reads?(rec: Recorder, x: Tensor, weight: string): Tensor;
  weight?(rec: Recorder, w: Tensor, weight: string): Tensor;
  /** What it gives, (N, out), without what is added to it: only its gradient is another. */
  gives?(rec: Recorder, y: Tensor, weight: string): Tensor;
}

const precisions = new WeakMap<object, LinearPrecision>();

/** Every forward pass of the model that is recorded from here on computes so. */
export const setPrecision = (model: object, precision: LinearPrecision): void => {
  precisions.set(model, precision);
};

export const precisionOf = (model: object): LinearPrecision | undefined => precisions.get(model);

/** Weights of linear layers and stacks of experts, without heads and routers. */
export function linearWeights(
  specs: readonly ParameterSpec[],
  { headModules = [] }: Pick<Architecture, "headModules">,
): ParameterSpec[] {
  const heads = new Set([...HEADS, ...headModules]);
  return specs.filter(({ name, linear, routes, buffer }) => {
    return linear === true && !routes && !buffer && !heads.has(name.replace(/\.weight$/, ""));
  });
}

/** A layer in a precision: the identity in each of its parts where there is none, or none for this weight. */
export function layerIn(rec: Recorder, precision: LinearPrecision | undefined, name: string) {
  const own = precision?.weights.has(name) ? precision : undefined;
  return {
    reads: (x: Tensor): Tensor => own?.reads?.(rec, x, name) ?? x,
    weight: (w: Tensor): Tensor => own?.weight?.(rec, w, name) ?? w,
    gives: own?.gives && rec.training ? (y: Tensor): Tensor => own.gives!(rec, y, name) : undefined,
  };
}
