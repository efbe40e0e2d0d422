/**
 * Short trainings of a model, each from the weights that it was loaded with, and its losses on held-out rows on the
 * way: what probes are made of that ask how a training would go. AdamW without decay.
 *
 * Memory: the weights twice, gradients, and the optimizer's two states.
 */
import type { Batch } from "../../data/batch.ts";
import type { GroupReference } from "../../data/groups.ts";
import { Split } from "../../data/split.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { LoadedModel } from "../../run/measuring/loaded-model.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { HeldOut, type HeldOutGroup, readHeldOut } from "../../run/training/held-out.ts";
import { Perturbation } from "../../run/training/perturbation.ts";
import { drawRows, type Part } from "../../run/training/short-training.ts";
import { trainModel } from "../../run/training/train-model.ts";
import type { SavedTraining } from "../../run/training/training-state.ts";
import type { TechniqueSetup } from "../technique.ts";

/** Groups of rows, of which some are learnt and others measured. */
export interface DividedRows {
  readonly learnt: readonly Part[];
  readonly held: readonly HeldOutGroup[];
  /** The measured rows, for metrics. */
  readonly references: readonly GroupReference[];
}

/**
 * Holds the share that `flag` gave of the rows of every group out, by what they say and the seed. Throws UserError for
 * rows that the model cannot take, and where nothing is left or held out of a group.
 */
export async function divideRows(
  loaded: LoadedModel,
  groups: readonly GroupReference[],
  {
    held,
    batch,
    seed,
    flag,
  }: { readonly held: number; readonly batch: number; readonly seed: number; readonly flag: string },
): Promise<DividedRows> {
  const split = new Split(held, seed, flag);
  const learnt: Part[] = [];
  for (const group of split.rest(groups))
    learnt.push({ name: group.name, material: await drawRows(loaded, group, seed) });
  return { learnt, held: await readHeldOut(split.heldOut, loaded, batch), references: split.heldOut };
}

/** One training. */
export interface Trial {
  readonly source: BatchSource<Batch>;
  readonly steps: number;
  /** Learning rate of a step, from 1. */
  readonly rate: (step: number) => number;
  /** Micro-batches of a step; 1 when left out. */
  readonly accumulate?: number;
  /** The optimizer's states of an earlier training; fresh ones when left out. */
  readonly carried?: SavedTraining | undefined;
}

export interface Course {
  /** Mean losses of the held-out groups, in their order, before the first step and on the way. */
  readonly points: readonly { readonly step: number; readonly losses: readonly number[] }[];
  /** Mean loss and norm of the gradients of every step. */
  readonly heard: readonly { readonly loss: number; readonly norm: number }[];
}

interface TrialsOptions extends Pick<TechniqueSetup, "seed" | "signal" | "loader"> {
  /** Names the rate in messages: `--rewarm-lr`. */
  readonly rateFlag: string;
}

export class Trials {
  readonly #loaded: LoadedModel;
  readonly #held: HeldOut;
  readonly #weights: Perturbation;
  readonly #options: TrialsOptions;

  /** Keeps the weights as they are now. */
  constructor(loaded: LoadedModel, held: readonly HeldOutGroup[], options: TrialsOptions) {
    this.#loaded = loaded;
    this.#held = new HeldOut(loaded.model, held);
    this.#weights = new Perturbation(loaded.model.gpu, loaded.model.trainable());
    this.#weights.save();
    this.#options = options;
  }

  /** Mean losses of the held-out groups, as the model is now. */
  async losses(): Promise<number[]> {
    return (await this.#held.losses()).map(({ loss }) => loss);
  }

  /**
   * Trains, measures every `every` steps and after the last, and puts the weights back. `look` is called where losses
   * are measured, the first time before any step, and `over` at the end. Throws UserError (exit 1) when a loss is not
   * finite.
   */
  async run(
    { source, steps, rate, accumulate = 1, carried }: Trial,
    { every, look, over }: { readonly every: number; look?(step: number): Promise<void>; over?(): Promise<void> } = {
      every: 0,
    },
  ): Promise<Course> {
    const { model, ref } = this.#loaded;
    const { seed, signal, loader, rateFlag } = this.#options;
    const points: { step: number; losses: number[] }[] = [];
    const heard: { loss: number; norm: number }[] = [];
    const measure = async (step: number) => {
      points.push({ step, losses: await this.losses() });
      await look?.(step);
    };
    await measure(0);
    await trainModel({
      ...{ model, source, steps, rate, accumulate, seed, signal, name: ref, advice: `lower ${rateFlag}` },
      objective: crossEntropyObjective(model),
      optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { beta2: 0.999, weight_decay: 0 }),
      ...(carried ? { carried } : {}),
      evalEvery: every,
      async evaluate(step) {
        await measure(step);
        return false;
      },
      onStep({ metrics, gradNorm }) {
        heard.push({ loss: metrics.loss!, norm: gradNorm });
        loader.tick(ref);
      },
    });
    signal.throwIfAborted();
    await over?.();
    this.#weights.restore();
    return { points, heard };
  }

  async free(): Promise<void> {
    await this.#held.free();
    await this.#weights.free();
  }
}
