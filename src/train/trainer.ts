/**
 * One training step: forward and back over the micro-batches, then the update, without waiting for the GPU anywhere.
 *
 * Memory besides the model: activations of the largest program (shared by all of them), gradients and optimizer states of what
 * is trained.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { Program, profileOf } from "../tensor/program.ts";
import { Recorder } from "../tensor/recorder.ts";
import { SlotPool } from "../tensor/slots.ts";
import type { Objective } from "./objective.ts";
import { Updater, type UpdaterOptions } from "./optim/updater.ts";

export interface TrainerOptions<B> extends UpdaterOptions {
  readonly gpu: Gpu;
  readonly parameters: readonly Parameter[];
  readonly objective: Objective<B>;
  readonly seed: number;
}

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

export class Trainer<B> {
  readonly updater: Updater;
  readonly #options: TrainerOptions<B>;
  readonly #programs = new Map<string, { program: Program; metrics: readonly string[] }>();
  readonly #slots: SlotPool;

  private constructor(options: TrainerOptions<B>, updater: Updater) {
    this.#options = options;
    this.updater = updater;
    this.#slots = new SlotPool(options.gpu);
  }

  static async make<B>(options: TrainerOptions<B>): Promise<Trainer<B>> {
    return new Trainer(options, await Updater.make(options.gpu, options.parameters, options));
  }

  /** Memory of activations, for programs that run between steps. */
  get slots(): SlotPool {
    return this.#slots;
  }

  async #programFor(batch: B) {
    const { gpu, objective } = this.#options;
    const key = objective.key(batch);
    let found = this.#programs.get(key);
    if (!found) {
      const rec = new Recorder(profileOf(gpu));
      const { backward, metrics } = objective.record(rec, batch);
      for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
      rec.backward(backward);
      found = { program: await Program.compile(gpu, rec, this.#slots), metrics: Object.keys(metrics) };
      this.#programs.set(key, found);
    }
    return found;
  }

  /** Builds the program of a batch ahead of time; the largest first, so that smaller ones fit into its memory. */
  async prepare(batch: B): Promise<Program> {
    return (await this.#programFor(batch)).program;
  }

  /** Records forward and back over the micro-batches; gives their metrics to come. */
  async #pass(step: number, batches: readonly B[], total: number): Promise<Promise<Record<string, number>>[]> {
    const { objective, seed } = this.#options;
    const parts: Promise<Record<string, number>>[] = [];
    for (const [i, batch] of batches.entries()) {
      const { program, metrics } = await this.#programFor(batch);
      objective.fill(program, batch, total);
      // Every micro-batch has random numbers of its own.
      program.run({ accumulate: i === 0 ? 0 : 1, seed: (Math.imul(seed, 0x9e3779b9) + step * 4096 + i) >>> 0 });
      const values = metrics.map(async (name) => [name, (await program.read(name))[0]!] as const);
      parts.push(Promise.all(values).then(Object.fromEntries));
    }
    return parts;
  }

  /** The largest gradients of a step that was not finite: goes through its batches once more, at the weights that led there. */
  async largestGradients(
    step: number,
    batches: readonly B[],
    count: number,
  ): Promise<{ name: string; norm: number }[]> {
    const { objective, seed } = this.#options;
    await Promise.all(
      await this.#pass(
        step,
        batches,
        batches.reduce((sum, batch) => sum + objective.counted(batch), 0),
      ),
    );
    await this.updater.step(step, 0, seed);
    return this.updater.largest(count);
  }

  /**
   * Records step `step` (from 1) over its micro-batches. Resolves when everything is recorded; `result` when the GPU is done.
   */
  async step(step: number, lr: number, batches: readonly B[]): Promise<{ result: Promise<StepResult> }> {
    const { objective, seed } = this.#options;
    const total = batches.reduce((sum, batch) => sum + objective.counted(batch), 0);
    const parts = await this.#pass(step, batches, total);
    const norm = this.updater.step(step, lr, seed);
    const result = Promise.all([norm, ...parts]).then(([gradNorm, ...sums]) => {
      const metrics: Record<string, number> = {};
      for (const part of sums)
        for (const [name, value] of Object.entries(part)) metrics[name] = (metrics[name] ?? 0) + value;
      const size = batches.reduce((sum, batch) => sum + objective.size(batch), 0);
      return { step, lr, metrics, gradNorm, size, counted: total };
    });
    result.catch(() => {}); // awaited some steps later
    return { result };
  }

  /** Bytes on the GPU: activations (with what programs own) and optimizer states. */
  get bytes(): { activations: number; states: number } {
    const own = [...this.#programs.values()].reduce((sum, { program }) => sum + program.ownBytes, 0);
    return { activations: this.#slots.bytes + own, states: this.updater.bytes };
  }

  free(): void {
    for (const { program } of this.#programs.values()) program.free();
    this.#programs.clear();
    this.#slots.free();
    this.updater.free();
  }
}
