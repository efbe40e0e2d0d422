/**
 * Linear layers that a training computes in another way than with their weight: it says so of a recording, before the
 * model is recorded, and `Network` asks.
 */
import type { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Inputs } from "./architecture.ts";

/** (N, in) -> (N, out), bias and all. */
export type LayerInstead = (x: Tensor, inputs: Inputs) => Tensor;

const told = new WeakMap<Recorder, ReadonlyMap<Parameter, LayerInstead>>();

/** By the weights in whose place they are. */
export const tellInstead = (rec: Recorder, layers: ReadonlyMap<Parameter, LayerInstead>): void => {
  told.set(rec, layers);
};

export const insteadOf = (rec: Recorder, weight: Parameter | undefined): LayerInstead | undefined =>
  weight && told.get(rec)?.get(weight);
