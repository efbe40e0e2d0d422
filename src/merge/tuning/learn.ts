/**
 * Learns the coefficients of a merge: each step writes the merged weights, goes forward and back over a batch of every
 * task, and moves the coefficients against their gradient.
 *
 * Everything large stays on the GPU; the host gets the losses and the partial sums of the coefficients' gradients.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Programs } from "../../run/programs.ts";
import type { Objective } from "../../run/training/objective.ts";
import { paretoGradient } from "../../run/training/pareto-weights.ts";
import { adam, type Descent, sgd } from "../../tensor/descent.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { FreeNumbers } from "./contract.ts";
import type { TuneLoss } from "./loss.ts";
import type { MergedWeights } from "./merged-weights.ts";
import { taskObjective } from "./objective.ts";
import type { TuneTask } from "./tasks.ts";

export interface LearnOptions {
  readonly gpu: Gpu;
  readonly weights: MergedWeights;
  readonly tasks: readonly TuneTask[];
  readonly free: FreeNumbers;
  readonly loss: TuneLoss;
  /** Trained parameters of the merged model, whose gradients are taken. */
  readonly parameters: readonly Parameter[];
  readonly steps: number;
  readonly rate: number;
  readonly descent: "adam" | "sgd";
  /** Whether the losses of the tasks are added up or averaged. */
  readonly over: "sum" | "mean";
  /** Whether the tasks' gradients are weighed so that no task is sacrificed (pareto-weights.ts). */
  readonly pareto?: boolean;
  /** Rows whose loss guides these weights; it counts only through them. */
  readonly guide?: TuneTask | undefined;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Hears of every step. */
  readonly done?: (step: number, loss: number) => void;
}

/** A task and what runs its batches. */
interface Running {
  readonly task: TuneTask;
  readonly objective: Objective<Batch>;
  readonly key: string;
}

/** What was learnt. */
export interface Learnt {
  /** (groups, models) */
  readonly coefficients: Float64Array;
  /** Mean loss over the tasks' batches of every step, by task. */
  readonly losses: readonly (readonly number[])[];
}

/** What a pass through the model is made of. */
type PassOptions = Pick<LearnOptions, "gpu" | "weights" | "parameters" | "seed" | "loss" | "tasks" | "guide">;

/** Losses of the tasks that went through the model together, and the gradient of the coefficients from their sum. */
export interface Measured {
  readonly losses: readonly number[];
  /** (groups, models) */
  readonly gradient: Float64Array;
}

/** Losses of batches and the gradients of the coefficients; the merged weights are as they stand. */
export class TaskLosses {
  readonly #options: PassOptions;
  readonly #programs: Programs;
  readonly #running: readonly Running[];
  readonly #guide: Running | undefined;

  constructor(options: PassOptions) {
    const { gpu, tasks, guide, loss } = options;
    this.#options = options;
    this.#programs = new Programs(gpu, { training: true });
    const running = (task: TuneTask, key: string): Running => ({
      task,
      objective: taskObjective(loss, task),
      key: task.model === tasks[0]!.model && !task.expert ? "" : key,
    });
    this.#running = tasks.map((task, k) => running(task, `${k} `));
    this.#guide = guide && running(guide, "guide ");
  }

  #program({ objective, key }: Running, batch: Batch) {
    return this.#programs.get(key + objective.key(batch), (rec) => {
      const { backward, metrics } = objective.record(rec, batch, "");
      rec.output("loss", metrics.loss!);
      rec.backward(backward);
    });
  }

  /** Compiles the programs of the largest batch of every task, so that smaller ones fit into their memory. */
  async prepare(): Promise<void> {
    const all = this.#guide ? [...this.#running, this.#guide] : this.#running;
    for (const running of all) await this.#program(running, running.task.source.largest());
  }

  /** All tasks together: one gradient. `batches`: one for each. Throws UserError (exit 1) for a loss not finite. */
  together(batches: readonly Batch[], step: number): Promise<Measured> {
    return this.#measure(this.#running, batches, step);
  }

  /** Each task alone, with a gradient of its own. */
  async apart(batches: readonly Batch[], step: number): Promise<Measured[]> {
    const found: Measured[] = [];
    for (const [k, running] of this.#running.entries()) found.push(await this.#measure([running], [batches[k]!], step));
    return found;
  }

  /** The guide alone; undefined where there is none. */
  async guided(step: number): Promise<Measured | undefined> {
    if (!this.#guide) return undefined;
    const { batch } = await this.#guide.task.source.next();
    return this.#measure([this.#guide], [batch], step);
  }

  async #measure(all: readonly Running[], batches: readonly Batch[], step: number): Promise<Measured> {
    const { gpu, weights, parameters, seed } = this.#options;
    for (const { gradient, size } of parameters) gpu.clear(gradient, Math.max(16, 4 * size));
    const reads: Promise<Float32Array>[] = [];
    for (const [k, running] of all.entries()) {
      const batch = batches[k]!;
      const { program } = await this.#program(running, batch);
      running.objective.fill(program, batch, Math.max(1, batch.counted), "");
      program.run({ accumulate: 1, seed: (Math.imul(seed, 0x9e3779b9) + step) >>> 0 });
      reads.push(program.read("loss").then((values) => Float32Array.from(values)));
    }
    const losses = (await Promise.all(reads)).map(([loss]) => loss!);
    const bad = losses.findIndex((loss) => !Number.isFinite(loss));
    if (bad >= 0)
      throw new UserError(
        `the loss of ${all[bad]!.task.name} is ${losses[bad]} in step ${step}`,
        "lower --tune-rate, or do the models hold values that are not finite?",
        1,
      );
    return { losses, gradient: await weights.gradients() };
  }

  free(): void {
    this.#programs.free();
  }
}

/** A guide's loss below this has no more to say. */
const GUIDED = 1e-3;

/** Losses of a batch of each task at these numbers, and the gradient that a step follows. */
async function stepGradient(
  passes: TaskLosses,
  batches: readonly Batch[],
  numbers: Float64Array,
  step: number,
  { free, over, pareto, tasks }: LearnOptions,
): Promise<Measured> {
  const share = over === "mean" ? 1 / tasks.length : 1;
  const back = (gradient: Float64Array, factor = 1) =>
    free.back(
      numbers,
      gradient.map((value) => factor * value),
    );
  if (!pareto) {
    const { losses, gradient } = await passes.together(batches, step);
    return { losses, gradient: back(gradient, share) };
  }
  const found = await passes.apart(batches, step);
  const guide = await passes.guided(step);
  const pull = guide && guide.losses[0]! > GUIDED ? back(guide.gradient) : undefined;
  const { gradient } = paretoGradient(
    found.map((one) => back(one.gradient)),
    pull,
  );
  return { losses: found.flatMap(({ losses }) => losses), gradient: gradient.map((value) => share * value) };
}

/** Runs all steps. Throws UserError (exit 1) for a loss that is not finite. */
export async function learn(options: LearnOptions): Promise<Learnt> {
  const { weights, tasks, free, steps, rate, signal, done } = options;
  const descent: Descent = (options.descent === "adam" ? adam : sgd)(rate);
  const numbers = free.start.slice();
  const history: number[][] = [];
  const passes = new TaskLosses(options);
  try {
    if (steps > 0) await passes.prepare();
    for (let step = 1; step <= steps; step++) {
      signal.throwIfAborted();
      await weights.refresh(free.coefficients(numbers));
      const batches: Batch[] = [];
      for (const { source } of tasks) batches.push((await source.next()).batch);
      const { losses, gradient } = await stepGradient(passes, batches, numbers, step, options);
      descent.step(numbers, gradient);
      free.clamp?.(numbers);
      if (!numbers.every(Number.isFinite))
        throw new UserError(`the coefficients are not finite after step ${step}`, "lower --tune-rate", 1);
      history.push([...losses]);
      done?.(step, losses.reduce((a, b) => a + b, 0) / losses.length);
    }
  } finally {
    passes.free();
  }
  return { coefficients: free.coefficients(numbers), losses: history };
}
