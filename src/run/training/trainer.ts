/**
 * One training step: forward and back over the micro-batches, then the update, without waiting for the GPU anywhere.
 *
 * Memory besides the model: activations of the largest program (shared by all of them), gradients and optimizer states of what
 * is trained.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { type Compiled, Programs } from "../programs.ts";
import type { Objective } from "./objective.ts";
import { Updater, type UpdaterOptions } from "./updater.ts";

export interface TrainerOptions<B> extends UpdaterOptions {
  readonly gpu: Gpu;
  readonly parameters: readonly Parameter[];
  readonly objective: Objective<B>;
  readonly seed: number;
  /** How the gradients of a step come about; every part once when left out. */
  readonly gradients?: GradientRule;
}

/**
 * Gets the gradients of a step ready. `pass` records forward and back of one part over all micro-batches; `fresh`: what the
 * gradients held before is dropped; `report`: its metrics are those of the step.
 */
export type GradientRule = (
  step: number,
  parts: readonly string[],
  pass: (part: string, options: { readonly fresh: boolean; readonly report: boolean }) => Promise<void>,
) => Promise<void>;

const PARTS = [""];
const everyPart: GradientRule = async (_, parts, pass) => {
  for (const [i, part] of parts.entries()) await pass(part, { fresh: i === 0, report: true });
};

/** What is known of a step once the GPU has done it. */
export interface StepResult {
  readonly step: number;
  readonly lr: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Before clipping; not finite: nothing was updated. */
  readonly gradNorm: number;
  /** Tokens or examples, and those of them that count. */
  readonly size: number;
  readonly counted: number;
}

const clearGradient = (gpu: Gpu, parameter: Parameter) =>
  gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));

/** What is kept of the recording of a part: names of its metrics, and parameters that its gradient does not reach. */
interface RecordedPart {
  readonly metrics: readonly string[];
  readonly untouched: readonly Parameter[];
}

export class Trainer<B> {
  readonly updater: Updater;
  readonly #options: TrainerOptions<B>;
  readonly #programs: Programs<RecordedPart>;

  private constructor(options: TrainerOptions<B>, updater: Updater) {
    this.#options = options;
    this.updater = updater;
    this.#programs = new Programs(options.gpu, { training: true });
  }

  static async make<B>(options: TrainerOptions<B>): Promise<Trainer<B>> {
    const updater = await Updater.make(options.gpu, options.parameters, options);
    for (const parameter of options.parameters) clearGradient(options.gpu, parameter);
    return new Trainer(options, updater);
  }

  /** Memory of activations, for programs that run between steps. */
  get slots(): SlotPool {
    return this.#programs.slots;
  }

  #programOf(batch: B, part: string): Promise<Compiled<RecordedPart>> {
    const { objective, parameters } = this.#options;
    return this.#programs.get(`${part} ${objective.key(batch)}`, (rec) => {
      const { backward, metrics } = objective.record(rec, batch, part);
      for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
      rec.backward(backward);
      const reached = rec.reached();
      return {
        metrics: Object.keys(metrics),
        untouched: parameters.filter((parameter) => !reached.has(parameter)),
      };
    });
  }

  get #parts(): readonly string[] {
    return this.#options.objective.parts ?? PARTS;
  }

  /** Builds the programs of a batch ahead of time; the largest first, so that smaller ones fit into its memory. */
  async prepare(batch: B): Promise<readonly Program[]> {
    const programs: Program[] = [];
    for (const part of this.#parts) programs.push((await this.#programOf(batch, part)).program);
    return programs;
  }

  /** Records forward and back over the micro-batches; gives their metrics to come. */
  async #pass(
    step: number,
    batches: readonly B[],
    values: Readonly<Record<string, number>>,
  ): Promise<Promise<Record<string, number>>[]> {
    const { objective, seed, gradients = everyPart } = this.#options;
    const found: Promise<Record<string, number>>[] = [];
    await gradients(step, this.#parts, async (part, { fresh, report }) => {
      const total = batches.reduce((sum, batch) => sum + objective.counted(batch, part), 0);
      for (const [i, batch] of batches.entries()) {
        const { program, recorded } = await this.#programOf(batch, part);
        // Another part may have left something where this one writes nothing.
        if (i === 0 && fresh) for (const parameter of recorded.untouched) clearGradient(this.#options.gpu, parameter);
        objective.fill(program, batch, total, part);
        // Every micro-batch has random numbers of its own.
        const random = (Math.imul(seed, 0x9e3779b9) + step * 4096 + i) >>> 0;
        program.run({ ...values, accumulate: i === 0 && fresh ? 0 : 1, seed: random });
        if (!report) continue;
        const read = recorded.metrics.map(async (name) => [name, (await program.read(name))[0]!] as const);
        found.push(Promise.all(read).then(Object.fromEntries));
      }
    });
    return found;
  }

  /** The largest gradients of a step that was not finite: goes through its batches once more, at the weights that led there. */
  async largestGradients(
    step: number,
    batches: readonly B[],
    count: number,
    values: Readonly<Record<string, number>> = {},
  ): Promise<{ name: string; norm: number }[]> {
    await Promise.all(await this.#pass(step, batches, values));
    await this.updater.step(step, 0, this.#options.seed);
    return this.updater.largest(count);
  }

  /**
   * Records step `step` (from 1) over its micro-batches; `values` are numbers that the objective's programs take. Resolves when everything is recorded; `result` when the GPU is done.
   */
  async step(
    step: number,
    lr: number,
    batches: readonly B[],
    values: Readonly<Record<string, number>> = {},
  ): Promise<{ result: Promise<StepResult> }> {
    const { objective, seed } = this.#options;
    const parts = await this.#pass(step, batches, values);
    const norm = this.updater.step(step, lr, seed);
    const result = Promise.all([norm, ...parts]).then(([gradNorm, ...sums]) => {
      const metrics: Record<string, number> = {};
      for (const part of sums)
        for (const [name, value] of Object.entries(part)) metrics[name] = (metrics[name] ?? 0) + value;
      const size = batches.reduce((sum, batch) => sum + objective.size(batch), 0);
      const counted = batches.reduce((sum, batch) => sum + objective.counted(batch, this.#parts[0]!), 0);
      const reported = objective.report?.(metrics, batches) ?? metrics;
      return { step, lr, metrics: reported, gradNorm, size, counted };
    });
    result.catch(() => {}); // awaited some steps later
    return { result };
  }

  /** Bytes on the GPU: activations (with what programs own) and optimizer states. */
  get bytes(): { activations: number; states: number } {
    return { activations: this.#programs.slots.bytes + this.#programs.ownBytes, states: this.updater.bytes };
  }

  free(): void {
    this.#programs.free();
    this.updater.free();
  }
}
