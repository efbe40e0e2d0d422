/**
 * A smaller model inside of a larger one on the GPU: its weights are parts of the larger one's, so that what trains it
 * trains them. It computes what the smaller checkpoint does, by the same kernels in the same shapes.
 */
import { pick } from "../../tensor/ops/pick.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs } from "../architecture.ts";
import type { Model, Recorded } from "../model.ts";
import type { Config } from "../names.ts";
import type { RecordOptions } from "../record-options.ts";
import type { ShapedModel } from "./anatomy.ts";
import type { Slice, SlicedTensor } from "./slice.ts";
import { expectHeld } from "./sliced-checkpoint.ts";

/** A model's weights as the structure of models is read off them. Stacks of experts are left out. */
export function shapedModel(model: Model, ref: string): ShapedModel {
  const parts = new Set(model.specs.filter((spec) => spec.parts || spec.stack).map(({ name }) => name));
  const tensors = new Map([...model.parameters].filter(([name]) => !parts.has(name)));
  const stacks = new Map<string, { prefix: string; count: number }>();
  for (const name of model.parameters.keys()) {
    const [, prefix, index] = /^(.+?)\.(\d{1,5})\..+$/.exec(name) ?? [];
    if (prefix === undefined) continue;
    const count = Math.max(stacks.get(prefix)?.count ?? 0, Number(index) + 1);
    stacks.set(prefix, { prefix, count });
  }
  return { ref, config: structuredClone(model.json) as Config, tensors, stacks };
}

/** A part of a model that is recorded as a model of its own. */
export class Subnet {
  readonly slice: Slice;
  /** Under the smaller config, with the larger one's weights by the smaller one's names. */
  readonly #small: Model;
  readonly #tensors: readonly (SlicedTensor & { readonly parameter: Parameter })[];

  private constructor(slice: Slice, small: Model, tensors: Subnet["tensors"]) {
    this.slice = slice;
    this.#small = small;
    this.#tensors = tensors;
  }

  /** Its tensors, with the weights that they are parts of. */
  get tensors(): readonly (SlicedTensor & { readonly parameter: Parameter })[] {
    return this.#tensors;
  }

  /** Throws UserError where the architecture cannot hold such a shape. */
  static async make(model: Model, slice: Slice, ref: string): Promise<Subnet> {
    await expectHeld(slice.config, ref, new Map(slice.tensors.map((tensor) => [tensor.name, tensor])));
    const tensors = slice.tensors.map((tensor) => ({ ...tensor, parameter: model.parameters.get(tensor.from)! }));
    const own = new Map(tensors.map(({ name, parameter }) => [name, parameter]));
    return new Subnet(slice, await model.variant(slice.config, ref, own), tensors);
  }

  /** Records its pass, without blocks that are computed again. */
  record(rec: Recorder, inputs: Inputs, options: Omit<RecordOptions, "weights" | "recompute"> = {}): Recorded {
    const weights = new Map<string, Tensor>();
    for (const { name, parameter, picked } of this.#tensors)
      if (picked.rows || picked.columns) weights.set(name, pick(rec, rec.parameter(parameter), picked));
    return this.#small.record(rec, inputs, { ...options, weights });
  }
}
