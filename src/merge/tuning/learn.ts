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
import type { Parameter } from "../../tensor/parameter.ts";
import type { FreeNumbers } from "./contract.ts";
import { adam, type Descent, sgd } from "./descent.ts";
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

/** Loss of one batch of each task, and the gradient of the coefficients; the merged weights are as they stand. */
export class TaskLosses {
  readonly #options: Pick<LearnOptions, "gpu" | "weights" | "parameters" | "seed" | "over">;
  readonly #programs: Programs;
  readonly #running: readonly Running[];

  constructor(options: Pick<LearnOptions, "gpu" | "weights" | "parameters" | "seed" | "over" | "tasks" | "loss">) {
    this.#options = options;
    this.#programs = new Programs(options.gpu, { training: true });
    this.#running = options.tasks.map((task, k) => ({
      task,
      objective: taskObjective(options.loss, task),
      key: task.model === options.tasks[0]!.model && !task.expert ? "" : `${k} `,
    }));
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
    for (const running of this.#running) await this.#program(running, running.task.source.largest());
  }

  /** `batches`: one for each task. Throws UserError (exit 1) for a loss that is not finite. */
  async measure(batches: readonly Batch[], step: number): Promise<{ losses: number[]; gradient: Float64Array }> {
    const { gpu, weights, parameters, seed, over } = this.#options;
    for (const { gradient, size } of parameters) gpu.clear(gradient, Math.max(16, 4 * size));
    const reads: Promise<Float32Array>[] = [];
    for (const [k, running] of this.#running.entries()) {
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
        `the loss of ${this.#running[bad]!.task.name} is ${losses[bad]} in step ${step}`,
        "lower --tune-rate, or do the models hold values that are not finite?",
        1,
      );
    const gradient = await weights.gradients();
    const share = over === "mean" ? 1 / losses.length : 1;
    return { losses, gradient: gradient.map((value) => share * value) };
  }

  free(): void {
    this.#programs.free();
  }
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
      const { losses, gradient } = await passes.measure(batches, step);
      descent.step(numbers, free.back(numbers, gradient));
      free.clamp?.(numbers);
      if (!numbers.every(Number.isFinite))
        throw new UserError(`the coefficients are not finite after step ${step}`, "lower --tune-rate", 1);
      history.push(losses);
      done?.(step, losses.reduce((a, b) => a + b, 0) / losses.length);
    }
  } finally {
    passes.free();
  }
  return { coefficients: free.coefficients(numbers), losses: history };
}
