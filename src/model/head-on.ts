/** The head of a model on the states between its layers. */
import type { Recorder } from "../tensor/recorder.ts";
import type { Inputs } from "./architecture.ts";
import { depthOf } from "./depth.ts";
import type { Model, Recorded } from "./model.ts";

/**
 * Records what the head reads of the states that a pass noted after `layer` layers, 0 the embedding: they go on to what
 * stands behind the last layer, a norm as a rule, with no layer between. Throws RangeError for a layer that was not
 * noted.
 */
export function recordHeadOn(
  model: Model,
  rec: Recorder,
  inputs: Inputs,
  { layer, notes }: { readonly layer: number; readonly notes: Recorded["notes"] },
): Recorded {
  const { layers } = model.sizes;
  const states = notes.get(`hidden.${layer}`);
  if (!states) throw new RangeError(`nothing was noted after layer ${layer} of ${layers}`);
  return model.record(rec, inputs, {
    depth: depthOf(Array<number>(layers).fill(0)),
    replace: (name, x) => (name === `hidden.${layers}` ? states : x),
  });
}
