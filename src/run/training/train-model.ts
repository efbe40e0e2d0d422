/**
 * Trains a model that is in memory. It knows no command line, no folder and no output: a caller may train many times
 * in a row, on one model or several, and keeps the state of each training as a value.
 *
 *   await trainModel({
 *     model,
 *     source: sequenceBatches(data, { batchSize: 8, seed: 0 }),
 *     objective: crossEntropyObjective(model),
 *     optimizer: bindDefaults(await loadMethod("optimizer", "adamw")),
 *     rate: () => 1e-3,
 *     steps: 100,
 *     seed: 0,
 *     signal,
 *   });
 */
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { BatchSource } from "./batch-source.ts";
import { type Controller, Controllers } from "./controller.ts";
import type { ExpertTraining } from "./experts/expert-training.ts";
import { type GroupLoss, HeldOut, type HeldOutGroup, type HeldOutMeasure } from "./held-out.ts";
import { type HeldOutBatches, HeldOutObjective } from "./held-out-objective.ts";
import { type RunOptions, TrainingLoop } from "./loop.ts";
import { type MemoryReport, memoryReport } from "./memory-report.ts";
import type { Objective } from "./objective.ts";
import type { Optimizer } from "./optimizer.ts";
import { type StepResult, Trainer } from "./trainer.ts";
import { type SavedTraining, stateTensor, type TrainingState } from "./training-state.ts";
import { loadStates, refuseNamesakes, statesOf, type UpdateRule } from "./update-rule.ts";
import type { UpdaterOptions } from "./updater.ts";

/** What decides the result of a training. */
export interface TrainingOptions<B> {
  readonly model: Model;
  readonly source: BatchSource<B>;
  readonly objective: Objective<B>;
  readonly optimizer: Bound<Optimizer>;
  /** Learning rate of a step, from 1 to `steps`. */
  readonly rate: (step: number) => number;
  readonly steps: number;
  readonly seed: number;
  /** Micro-batches of a step; 1 when left out. */
  readonly accumulate?: number;
  /** Largest global norm of the gradients; 0 or left out: no bound. */
  readonly clip?: number;
  /** Which parameters decay; none when left out. */
  readonly decays?: (parameter: Parameter) => boolean;
  readonly rateOf?: UpdaterOptions["rateOf"];
  readonly independentOf?: UpdaterOptions["independentOf"];
  readonly stateDtype?: "f32" | "bf16";
  readonly weightRounding?: UpdaterOptions["weightRounding"];
  /** Whether the noise of gradients is measured; of several micro-batches. */
  readonly noiseScale?: boolean;
  /** Trained beside the model. */
  readonly extra?: readonly Parameter[];
  /** What follows the training from step to step, in this order. */
  readonly controllers?: readonly Controller[];
  /** What changes the way from gradients to weights; composed as update-rule.ts says. Freed with the training. */
  readonly updates?: readonly UpdateRule[];
  /** How a mixture's experts are used; one of `updates`, too. */
  readonly experts?: ExpertTraining | undefined;
  /** Held-out rows, for controllers and for `evaluate`. */
  readonly heldOut?: readonly HeldOutGroup[];
  /** Held-out rows in batches of the objective's own kind, which measures them in the place of `heldOut`. */
  readonly heldOutBatches?: readonly HeldOutBatches<B>[] | undefined;
}

/** What has come from the host and gone back to it, of experts that do not fit, since the training began. */
const movedExperts = ({ loaded, stored }: { readonly loaded: number; readonly stored: number }) => ({
  expert_bytes_loaded: loaded,
  expert_bytes_stored: stored,
});

export interface TrainingResult {
  /** Steps that are done: fewer than asked for where the signal aborted or `after` ended it. */
  readonly step: number;
  /** Of the last step. */
  readonly last: StepResult | undefined;
}

/** A training that is set up: all of its memory is taken, its programs for the largest batch are compiled. */
export class Training<B> {
  readonly trainer: Trainer<B>;
  readonly #options: TrainingOptions<B>;
  readonly #trained: readonly Parameter[];
  readonly #controllers: Controllers;
  readonly #heldOut: HeldOutMeasure | undefined;
  readonly #programs: Awaited<ReturnType<Trainer<B>["prepare"]>>;
  #step = 0;
  #resumed = false;

  private constructor(
    options: TrainingOptions<B>,
    trained: readonly Parameter[],
    trainer: Trainer<B>,
    programs: Awaited<ReturnType<Trainer<B>["prepare"]>>,
  ) {
    const { model, objective, heldOut = [], heldOutBatches: own = [] } = options;
    this.#options = options;
    this.#trained = trained;
    this.trainer = trainer;
    this.#programs = programs;
    this.#controllers = new Controllers(options.controllers ?? []);
    if (own.length > 0) this.#heldOut = new HeldOutObjective(model.gpu, objective, own, trainer.slots);
    else if (heldOut.length > 0) this.#heldOut = new HeldOut(model, heldOut, trainer.slots);
  }

  /** Throws RangeError for controllers or rules that do not go together. */
  static async make<B>(options: TrainingOptions<B>): Promise<Training<B>> {
    const { model, source, extra = [], controllers = [], updates = [] } = options;
    refuseNamesakes([...controllers, ...updates]);
    const trained = [...model.trainable(), ...extra];
    const trainer = await Trainer.make<B>({
      gpu: model.gpu,
      parameters: trained,
      objective: options.objective,
      updates,
      experts: options.experts,
      seed: options.seed,
      optimizer: options.optimizer,
      decays: options.decays ?? (() => false),
      clip: options.clip ?? 0,
      ...(options.stateDtype ? { stateDtype: options.stateDtype } : {}),
      weightRounding: options.weightRounding,
      noiseScale: options.noiseScale,
      rateOf: options.rateOf,
      independentOf: options.independentOf,
    });
    // The largest batch first: smaller ones then fit into its memory.
    return new Training(options, trained, trainer, await trainer.prepare(source.largest()));
  }

  /** Steps that are done. */
  get step(): number {
    return this.#step;
  }

  /** GPU memory by kind; `more` is what else the caller holds. */
  memory(more: Readonly<Record<string, number>> = {}): MemoryReport {
    const kinds = { ...more, ...this.trainer.updates.memory };
    return memoryReport(this.#options.model, this.trainer, this.#programs, this.#trained, kinds);
  }

  /** What the controllers do now, each after a comma. */
  get said(): string {
    return this.#controllers.said;
  }

  get #stateful() {
    return [...this.#controllers.list, ...this.trainer.updates.list];
  }

  /**
   * All that a training knows, without the model's own weights. The tensors are those of now: copy or save them
   * before the next step.
   */
  state(): TrainingState {
    const { updater, updates } = this.trainer;
    const names = updater.names();
    const { past } = this.trainer;
    const besides = [...(this.#options.extra ?? []), ...updates.kept];
    return {
      progress: {
        step: this.#step,
        ...(past > 0 ? { past } : {}),
        order: this.#options.source.state(),
        states: statesOf(this.#stateful),
      },
      tensors: [
        ...updater.allStates(),
        ...besides.map((p) => stateTensor(names.get(p) ?? p.name, p, p.buffer, p.dtype)),
        ...updates.tensors,
      ],
    };
  }

  /** Continues from a state. Throws UserError when it is of another training. */
  async load({ progress, where, read }: SavedTraining): Promise<void> {
    this.#options.source.load(progress.order, where);
    await this.#fill(this.state().tensors, { where, read }, "resume with the settings that the run began with");
    this.trainer.past = progress.past ?? 0;
    loadStates(this.#stateful, progress.states, where);
    this.#step = progress.step;
    this.#resumed = true;
  }

  /**
   * Begins with the optimizer's states of a training on other data, and goes on from its steps. Throws UserError where
   * other weights were trained.
   */
  async carry({ progress, where, read }: SavedTraining): Promise<void> {
    const hint = "carry the state of a run that trained the same weights with the same optimizer";
    await this.#fill(this.trainer.updater.allStates(), { where, read }, hint);
    this.trainer.past = (progress.past ?? 0) + progress.step;
  }

  /** Puts saved values into tensors of the state. */
  async #fill(
    tensors: TrainingState["tensors"],
    { where, read }: Pick<SavedTraining, "where" | "read">,
    hint: string,
  ): Promise<void> {
    for (const tensor of tensors) {
      const { name, bytes } = tensor;
      const saved = await read(name);
      if (saved?.byteLength !== bytes)
        throw new UserError(
          `${where} holds ${saved === undefined ? "no" : `${saved.byteLength} bytes of`} ${name}, expected ${bytes} bytes`,
          hint,
        );
      if ("pages" in tensor) tensor.pages.write(0, saved);
      else this.#options.model.gpu.write(tensor.buffer, 0, saved);
    }
  }

  /** Losses of the held-out rows at the weights as they are; undefined where none are held out. */
  async measure(): Promise<readonly GroupLoss[] | undefined> {
    return this.#heldOut?.losses(this.#controllers.values(this.#step).all);
  }

  /**
   * Runs to the last step, or to the one that `until` names. Throws UserError (exit 1) when a loss or a gradient is not
   * finite.
   */
  async run(options: RunOptions): Promise<TrainingResult> {
    const { model, steps, accumulate = 1, source, objective, rate } = this.#options;
    const loop = new TrainingLoop<B>(
      {
        trainer: this.trainer,
        objective,
        source,
        rate,
        steps,
        accumulate,
        controllers: this.#controllers,
        heldOut: this.#heldOut,
        gpuBytes: () => model.gpu.pool.allocated,
        ...(model.store ? { more: () => movedExperts(model.store!.moved) } : {}),
      },
      options,
    );
    if (!this.#resumed) {
      await this.#controllers.begin(loop.heldOut(0));
      await options.save?.(0);
    }
    const last = await loop.run(this.#step, (step) => {
      this.#step = step;
    });
    const stopped = options.signal.aborted && this.#step < steps && !loop.over;
    if (!stopped && options.until === undefined) {
      this.trainer.updater.finish();
      await this.trainer.updates.end();
    }
    return { step: this.#step, last };
  }

  async free(): Promise<void> {
    await this.#heldOut?.free();
    this.trainer.free();
  }
}

/**
 * Trains a model, from a saved state or with a carried one if there is one. Throws UserError (exit 1) when a loss or a
 * gradient is not finite.
 */
export async function trainModel<B>(
  options: TrainingOptions<B> & RunOptions & { readonly from?: SavedTraining; readonly carried?: SavedTraining },
): Promise<TrainingResult> {
  const training = await Training.make(options);
  try {
    if (options.carried) await training.carry(options.carried);
    if (options.from) await training.load(options.from);
    return await training.run(options);
  } finally {
    await training.free();
  }
}
