/**
 * What an adapter tells while a forward pass is recorded: losses of its own, which training adds to those of the step
 * whatever the objective is (run/training/adapter-losses.ts), and what its routers say (run/tracing/adapter-routes.ts).
 */
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** A term of one layer. Terms of one name are averaged over the layers. */
export interface OwnLoss {
  /** As it is reported. */
  readonly name: string;
  /** (1), a mean over the batch's tokens or rows. */
  readonly value: Tensor;
  /** What it counts in the step's loss; 0: it is reported alone. */
  readonly weight: number;
}

const heard = new WeakMap<Recorder, OwnLoss[]>();
const said = new WeakMap<Recorder, Map<string, Tensor>>();
const stepped = new WeakSet<Recorder>();

/** Keeps further terms, whatever they are made of. */
export const addLosses = (rec: Recorder, losses: readonly OwnLoss[]): void => {
  heard.set(rec, [...(heard.get(rec) ?? []), ...losses]);
};

/** Keeps the terms of a forward pass that takes gradients; those of a frozen model are passed over. */
export function hearLosses(rec: Recorder, losses: readonly OwnLoss[]): void {
  if (rec.training && losses.some(({ value }) => value.needsGrad)) addLosses(rec, losses);
}

/** The terms of all forward passes of a recording. */
export const lossesOf = (rec: Recorder): readonly OwnLoss[] => heard.get(rec) ?? [];

/** Keeps what a router says, of a recording that is not trained: blocks are not recomputed there. */
export function hearChoice(rec: Recorder, name: string, worth: Tensor): void {
  if (rec.training) return;
  const own = said.get(rec) ?? new Map<string, Tensor>();
  said.set(rec, own.set(name, worth));
}

/** What the routers of the last forward pass say, by name. */
export const choicesOf = (rec: Recorder): ReadonlyMap<string, Tensor> => said.get(rec) ?? new Map();

/** Says that every run of the recording's program gets the number of its step, from 1, as the dynamic value "step". */
export const countSteps = (rec: Recorder): void => {
  stepped.add(rec);
};

/** Whether a recording may use the dynamic value "step". */
export const countsSteps = (rec: Recorder): boolean => stepped.has(rec);
