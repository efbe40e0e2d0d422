/**
 * Losses that an adapter adds to those of the step: its layers hand them over while a forward pass is recorded, and
 * training takes them up, whatever the objective is (run/training/adapter-losses.ts).
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
const stepped = new WeakSet<Recorder>();

/** Keeps the terms of a forward pass that takes gradients; those of a frozen model are passed over. */
export function hearLosses(rec: Recorder, losses: readonly OwnLoss[]): void {
  if (rec.training && losses.some(({ value }) => value.needsGrad))
    heard.set(rec, [...(heard.get(rec) ?? []), ...losses]);
}

/** The terms of all forward passes of a recording. */
export const lossesOf = (rec: Recorder): readonly OwnLoss[] => heard.get(rec) ?? [];

/** Says that every run of the recording's program gets the number of its step, from 1, as the dynamic value "step". */
export const countSteps = (rec: Recorder): void => {
  stepped.add(rec);
};

/** Whether a recording may use the dynamic value "step". */
export const countsSteps = (rec: Recorder): boolean => stepped.has(rec);
