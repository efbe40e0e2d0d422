/** Zeroth-order training as rounds of tasks: a round is a step, a task some of its samples. */
import type { Batch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import type { RoundJob } from "../../run/cluster/contract.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { ByteSteps, Slopes, type ZerothSettings } from "./zeroth-order.ts";

export interface ZerothJobOptions extends ZerothSettings {
  readonly steps: number;
  /** Samples of a task; those of the last one may be fewer. */
  readonly share: number;
}

export class ZerothJob implements RoundJob {
  readonly rounds: number;
  readonly tasks: number;
  /** Bytes of all steps so far. */
  readonly codes: Uint8Array[] = [];
  /** Mean loss of the last task that was done here. */
  loss = Number.NaN;
  readonly #options: ZerothJobOptions;
  readonly #steps: ByteSteps;
  readonly #slopes: Slopes;

  constructor(model: Model, source: BatchSource<Batch>, options: ZerothJobOptions) {
    this.rounds = options.steps;
    this.tasks = Math.ceil(options.samples / options.share);
    this.#options = options;
    this.#steps = new ByteSteps(model, options);
    this.#slopes = new Slopes(model, this.#steps, source, options);
  }

  #count(task: number): number {
    const { samples, share } = this.#options;
    return Math.min(share, samples - task * share);
  }

  async work(round: number, task: number): Promise<Uint8Array> {
    const { bytes, loss } = await this.#slopes.measure(round, task * this.#options.share, this.#count(task));
    this.loss = loss;
    return bytes;
  }

  refusal(task: number, answer: Uint8Array): string | undefined {
    const count = this.#count(task);
    return answer.length === count ? undefined : `it has ${answer.length} bytes for ${count} samples`;
  }

  async apply(round: number, answers: readonly Uint8Array[]): Promise<void> {
    const bytes = new Uint8Array(Buffer.concat(answers));
    this.codes.push(bytes);
    await this.#steps.apply(round, bytes);
  }

  digest(): Promise<string> {
    return this.#steps.digest();
  }

  free(): void {
    this.#slopes.free();
    this.#steps.free();
  }
}
