/**
 * Zeroth-order training by bytes: every sample of a step looks along a direction of its own, drawn from a seed, and
 * says in a byte how steep the loss is there. All that know the bytes take the same step, and nothing else is sent.
 *
 *   g_j = (L(w + eps z_j) - L(w - eps z_j)) / (2 eps)      z_j from (seed, step, j), L on a micro-batch of its own
 *   w  <- w - lr / sqrt(n) sum_j byte(g_j) z_j             in the order of j
 *
 * "Just One Byte (per gradient)", 2023, https://github.com/ezelikman/justonebyte; Malladi et al., "Fine-Tuning Language
 * Models with Just Forward Passes", NeurIPS 2023, https://arxiv.org/abs/2305.17333. The directions are sums of coins,
 * not normal values, so that all GPUs agree on their bits (Perturbation.walk).
 */
import { createHash } from "node:crypto";
import type { Batch } from "../../data/batch.ts";
import type { OrderState } from "../../data/order.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { Programs } from "../../run/programs.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { Perturbation } from "../../run/training/perturbation.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { fromByte, NOT_FINITE, toByte } from "./byte.ts";

export interface ZerothSettings {
  readonly seed: number;
  /** Distance of the two looks. */
  readonly eps: number;
  readonly lr: number;
  /** Samples of a step. */
  readonly samples: number;
}

/** What seeds the direction of a sample, 32 bits. */
export const directionSeed = (seed: number, step: number, sample: number): number =>
  createHash("sha256").update(`${seed}\0direction\0${step}\0${sample}`).digest().readUInt32LE(0);

/** Moves weights by bytes, and needs no data for it. */
export class ByteSteps {
  readonly moved: Perturbation;
  readonly #model: Model;
  readonly #trained: readonly Parameter[];
  readonly #settings: Pick<ZerothSettings, "seed" | "lr">;

  /** Memory: a copy of the trained weights. Throws UserError for weights in bf16. */
  constructor(model: Model, settings: Pick<ZerothSettings, "seed" | "lr">) {
    this.#model = model;
    this.#trained = model.trainable();
    this.#settings = settings;
    this.moved = new Perturbation(model.gpu, this.#trained);
  }

  /** Takes step `step` (from 1) by the bytes of all of its samples. Throws UserError where none is finite. */
  async apply(step: number, bytes: Uint8Array): Promise<void> {
    const { seed, lr } = this.#settings;
    if (bytes.every((byte) => byte === NOT_FINITE))
      throw new UserError(`no loss of step ${step} is finite`, "lower --lr or --eps", 1);
    const rate = lr / Math.sqrt(bytes.length);
    for (const [sample, byte] of bytes.entries()) {
      const slope = fromByte(byte);
      if (slope !== 0) await this.moved.walk(-rate * slope, directionSeed(seed, step, sample));
    }
  }

  /** Bytes of the trained weights. */
  get bytes(): number {
    return this.#trained.reduce((sum, { size }) => sum + 4 * size, 0);
  }

  /** Bytes of the trained weights one by one, f32. */
  async *weights(): AsyncGenerator<Uint8Array> {
    for (const { buffer, size } of this.#trained) {
      const values = await this.#model.gpu.readFloats(buffer, size);
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    }
  }

  /** Sets the trained weights to what `weights` gave. Throws UserError for those of another model. */
  set(weights: readonly Uint8Array[]): void {
    const odd = this.#trained.find(({ size }, i) => weights[i]?.length !== 4 * size);
    if (odd || weights.length !== this.#trained.length)
      throw new UserError(
        `a saved state has other weights than this model: ${odd?.name ?? "there are more of them"}`,
        "all who take part train one model",
      );
    for (const [i, parameter] of this.#trained.entries()) parameter.writeBytes(0, weights[i]!);
  }

  /** Digest of the trained weights, SHA-256 in hex. */
  async digest(): Promise<string> {
    const hash = createHash("sha256");
    for await (const bytes of this.weights()) hash.update(bytes);
    return hash.digest("hex");
  }

  free(): void {
    this.moved.free();
  }
}

/** What a worker found along its directions. */
export interface Measured {
  readonly bytes: Uint8Array;
  /** Mean of the losses that it looked at. */
  readonly loss: number;
}

/** Looks along the directions of a step. */
export class Slopes {
  readonly #steps: ByteSteps;
  readonly #source: BatchSource<Batch>;
  readonly #settings: ZerothSettings;
  readonly #objective;
  readonly #programs: Programs;
  #drawnFor = 0;
  #batches: Batch[] = [];

  constructor(model: Model, steps: ByteSteps, source: BatchSource<Batch>, settings: ZerothSettings) {
    this.#steps = steps;
    this.#source = source;
    this.#settings = settings;
    this.#objective = crossEntropyObjective(model);
    this.#programs = new Programs(model.gpu);
  }

  /** The micro-batches of a step: whoever measures, they are the same. */
  async #batchesOf(step: number): Promise<readonly Batch[]> {
    if (step < this.#drawnFor) throw new RangeError(`step ${step} after step ${this.#drawnFor}`);
    while (this.#drawnFor < step) {
      this.#batches = [];
      for (let sample = 0; sample < this.#settings.samples; sample++)
        this.#batches.push((await this.#source.next()).batch);
      this.#drawnFor++;
    }
    return this.#batches;
  }

  /** The place in the rows when the micro-batches of a step, and of all before it, are drawn. */
  async placeAfter(step: number): Promise<OrderState> {
    await this.#batchesOf(step);
    return this.#source.state();
  }

  /** Leads the rows to a place that `placeAfter` gave of this step. Throws UserError for one of other rows. */
  goTo(step: number, place: unknown): void {
    this.#source.load(place, `the saved state of step ${step}`);
    [this.#drawnFor, this.#batches] = [step, []];
  }

  /** Records a forward pass at the weights as they are; its mean loss comes later. */
  async #loss(batch: Batch): Promise<{ readonly read: Promise<number> }> {
    const objective = this.#objective;
    const { program } = await this.#programs.get(objective.key(batch), (rec) => {
      rec.output("loss", objective.record(rec, batch, "").metrics.loss!);
    });
    objective.fill(program, batch, objective.counted(batch, ""), "");
    await program.start();
    const read = program.read("loss").then(([loss]) => loss!);
    read.catch(() => {}); // awaited once all are under way
    return { read };
  }

  /**
   * Looks along the directions of samples `first` to `first + count` of a step (from 1), at the weights that the steps
   * before left, and leaves them as they were, bit for bit.
   */
  async measure(step: number, first: number, count: number): Promise<Measured> {
    const { seed, eps } = this.#settings;
    const { moved } = this.#steps;
    const batches = await this.#batchesOf(step);
    const pairs: Promise<readonly [up: number, down: number]>[] = [];
    moved.save();
    for (let sample = first; sample < first + count; sample++) {
      const z = directionSeed(seed, step, sample);
      await moved.walk(eps, z);
      const up = await this.#loss(batches[sample]!);
      moved.restore();
      await moved.walk(-eps, z);
      const down = await this.#loss(batches[sample]!);
      moved.restore();
      pairs.push(Promise.all([up.read, down.read]));
    }
    const losses = await Promise.all(pairs);
    return {
      bytes: Uint8Array.from(losses, ([up, down]) => toByte((up - down) / (2 * eps))),
      loss: losses.reduce((sum, [up, down]) => sum + (up + down) / 2, 0) / count,
    };
  }

  free(): void {
    this.#programs.free();
  }
}
