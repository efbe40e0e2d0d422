/** Zeroth-order training as rounds of tasks: a round is a step, a task some of its samples. */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { decodeText, parseJson } from "../../json.ts";
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

  get stateBytes(): number {
    return this.#steps.bytes;
  }

  /** The place in the rows, the bytes of all steps, and the trained weights one by one. */
  async save(): Promise<readonly Uint8Array[]> {
    const parts: Uint8Array[] = [
      new TextEncoder().encode(JSON.stringify(await this.#slopes.placeAfter(this.codes.length))),
      new Uint8Array(Buffer.concat(this.codes)),
    ];
    for await (const weights of this.#steps.weights()) parts.push(weights);
    return parts;
  }

  async load(round: number, [place, codes, ...weights]: readonly Uint8Array[]): Promise<void> {
    const what = `the saved state of step ${round}`;
    const { samples } = this.#options;
    if (!place || codes?.length !== round * samples)
      throw new UserError(`${what} has not the bytes of its steps`, "all who take part need the same version");
    this.#slopes.goTo(round, parseJson(decodeText(place, what), what).value);
    this.#steps.set(weights);
    this.codes.splice(0);
    for (let at = 0; at < codes.length; at += samples) this.codes.push(codes.slice(at, at + samples));
  }

  digest(): Promise<string> {
    return this.#steps.digest();
  }

  free(): void {
    this.#slopes.free();
    this.#steps.free();
  }
}
