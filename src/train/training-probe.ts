/**
 * What a training probe is: something that looks at a model while it learns, at the same rows every time, and changes
 * nothing of it. Every file of methods/probes exports one as `method`: `train --probe norms` is norms.ts.
 *
 * A probe is set up once, when the model is in memory, and then asked for what it sees before the first step and every
 * so many. It may use the gradients of what is trained as it likes between two steps, and leaves weights as they were,
 * to the bit. Options begin with the probe's name, and none decides the result of a training.
 */
import type { Batch } from "../data/batch.ts";
import type { Laws } from "../method/laws.ts";
import { sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Stateful } from "../method/stateful.ts";
import type { Model } from "../model/model.ts";
import type { GroupLoss } from "../run/training/held-out.ts";

/** What may hold for a training probe. */
export const TRAINING_PROBE_LAWS = {
  leavesAlone: "weights are afterwards as they were, to the bit",
  reproducible: "two looks at the same weights see the same",
  anyBatching: "the same rows in other batches give the same, but for rounding",
} as const;

export type TrainingProbeLaw = keyof typeof TRAINING_PROBE_LAWS;

/** Claims all of them. A probe names its exceptions after it. */
export const EVERY_PROBE_LAW = sameClaim(TRAINING_PROBE_LAWS, true);

export interface ProbeSetup<O extends Options = Options> {
  readonly model: Model;
  /** The rows, at least one batch. */
  readonly batches: readonly Batch[];
  readonly values: Values<O>;
  readonly seed: number;
  /** Steps of the whole training. */
  readonly steps: number;
  /** What the optimizer adds to the root of its second moments, where it has them. */
  readonly eps: number | undefined;
}

/** What is seen at one step. */
export interface Look {
  /** By name; each is a curve of `report`. */
  readonly numbers: Readonly<Record<string, number>>;
  /** The same in more detail, for the log: an object for every layer or group of tensors. */
  readonly parts?: readonly Readonly<Record<string, string | number>>[];
  /** What the user should hear of, each but once. */
  readonly warnings?: readonly string[];
}

/** A probe at work. What it remembers of earlier looks is its state. */
export interface RunningProbe extends Partial<Stateful> {
  /** Before a step after which it looks; recorded, and not waited for. */
  ahead?(): Promise<void> | void;
  /** Looks after step `step`, 0 before the first. `held` measures held-out rows, where there are some. */
  look(step: number, held: (() => Promise<readonly GroupLoss[]>) | undefined): Promise<Look>;
  /** Bytes that it holds on the GPU. */
  readonly bytes: number;
  free(): void;
}

export interface TrainingProbe<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<TrainingProbeLaw>;
  /** Sets it up, and takes all memory that it needs. Throws UserError for a model or rows that it cannot look at. */
  begin(setup: ProbeSetup<O>): Promise<RunningProbe>;
}

export const defineTrainingProbe = <const O extends Options>(probe: TrainingProbe<O>): TrainingProbe<O> => probe;

declare module "../method/registry.ts" {
  interface Contracts {
    "training-probe": TrainingProbe;
  }
}
