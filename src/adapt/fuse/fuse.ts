/**
 * FVAE: adapters of several tasks as one, by way of a latent space of adapters' weights. A conditional variational
 * autoencoder learns the snapshots of all tasks, each with what its task's prompts are like; adapters are mixed among
 * the latent numbers and decoded to one.
 *
 * "ICM-Fusion: In-Context Meta-Optimized LoRA Fusion", 2025. The paper says little of how it fuses; what stands here is
 * one reading of it, and where it is silent ingot's own:
 * - a convolution's kernel is as wide as its stride, 2 (latent-network.ts);
 * - a task's condition is the mean hidden state of its prompts' last tokens, less the mean over the tasks, of root mean
 *   square 1 (task-embedding.ts);
 * - what is fused of a task is its last snapshot, and shares begin equal;
 * - a mixture takes plain steps of descent on its shares and a shift of z, in training by MAML of first order
 *   (learning.ts) and at the end alike.
 * A and B are learnt as they are, and B A is the same for any turn of both: snapshots of one training, and trainings
 * that began alike, lie near each other; others do not, and their mixtures mean little before the steps.
 */

import { factorNames } from "../../checkpoint/adapter/written.ts";
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { HeldOut, type HeldOutGroup } from "../../run/training/held-out.ts";
import { hostMatrix } from "../../tensor/linear-algebra/leading-svd.ts";
import { svdOfProduct } from "../../tensor/linear-algebra/low-rank.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { asProduct, besides } from "../forms.ts";
import { LatentNetwork, type LatentSizes } from "./latent-network.ts";
import { anchorsOf, type LearnedStep, Learning } from "./learning.ts";
import { Mixture } from "./mixture.ts";
import { countOf, type FusedModule, factorsOf, normalized, spreadOf } from "./snapshots.ts";

/** How a network learns, and how much a mixture. */
export interface FuseSettings extends Pick<LatentSizes, "latent" | "channels"> {
  readonly steps: number;
  readonly lr: number;
  readonly snapshot_batch: number;
  readonly kl_weight: number;
  readonly meta_steps: number;
  readonly meta_lr: number;
  readonly inner_steps: number;
  readonly mix_lr: number;
  readonly fuse_steps: number;
}

/** A task to fuse: its snapshots in the order of their training, and rows to learn from. */
export interface FusedTask {
  readonly task: string;
  readonly snapshots: readonly Float32Array[];
  readonly source: BatchSource<Batch>;
}

export interface FuseJob {
  /** With an adapter of the layout, of which values do not matter. */
  readonly model: Model;
  readonly layout: readonly FusedModule[];
  readonly tasks: readonly FusedTask[];
  /** By task, (T, d). */
  readonly conditions: Float32Array;
  /** Not negative, of sum 1. */
  readonly shares: readonly number[];
  readonly settings: FuseSettings;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/**
 * Parameters of a live adapter that hold A and B of every module. Throws UserError for a module that it does not hold
 * as one pair.
 */
export function factorParameters({ adapter }: Model, layout: readonly FusedModule[]): Parameter[] {
  const held = new Map((adapter?.stored() ?? []).map((tensor) => [tensor.name, tensor]));
  return layout.flatMap((module) =>
    factorNames(module).map((name, i) => {
      const size = module.rank * (i === 0 ? module.into : module.out);
      const tensor = held.get(name);
      if (!tensor || tensor.turned || tensor.joined || tensor.parameter.size !== size)
        throw new UserError(
          `${module.module} is not one matrix of this model, and fuse takes linear layers`,
          "train adapters without experts' layers: --lora-targets",
        );
      return tensor.parameter;
    }),
  );
}

/** Puts an adapter's numbers into its parameters. */
export function putNumbers(factors: readonly Parameter[], numbers: Float32Array): void {
  let at = 0;
  for (const factor of factors) {
    factor.write(numbers.slice(at, at + factor.size));
    at += factor.size;
  }
}

/** The weighted sum of the changes of adapters, each module's cut by SVD to its rank: what fusing is to beat. */
export function svdMean(
  adapters: readonly Float32Array[],
  layout: readonly FusedModule[],
  shares: readonly number[],
): Float32Array {
  const all = adapters.map((numbers) => factorsOf(numbers, layout));
  const mean = new Float32Array(countOf(layout));
  const into = factorsOf(mean, layout);
  for (const { module, rank, into: width, out } of layout) {
    const parts = all.map((factors, k) => ({
      a: hostMatrix(rank, width, Float64Array.from(factors.get(module)!.a)),
      b: hostMatrix(out, rank, Float64Array.from(factors.get(module)!.b)),
      ...{ scale: 1, weight: shares[k]! },
    }));
    const sum = besides(parts, ({ weight }) => weight);
    const { a, b } = asProduct(svdOfProduct(sum.b, sum.a, rank));
    const own = into.get(module)!;
    own.a.set(a.values);
    for (let o = 0; o < out; o++) for (let r = 0; r < a.rows; r++) own.b[o * rank + r] = b.values[o * a.rows + r]!;
  }
  return mean;
}

/** Everything that a fusion is made of, with its memory taken. */
export class Fusion {
  readonly network: LatentNetwork;
  readonly mixture: Mixture;
  readonly factors: readonly Parameter[];
  readonly #job: FuseJob;
  readonly #learning: Learning;
  /** The last snapshots as the network reads them, (T, width). */
  readonly #last: Float32Array;

  private constructor(
    job: FuseJob,
    parts: Pick<Fusion, "network" | "mixture" | "factors">,
    learning: Learning,
    last: Float32Array,
  ) {
    this.#job = job;
    this.network = parts.network;
    this.mixture = parts.mixture;
    this.factors = parts.factors;
    this.#learning = learning;
    this.#last = last;
  }

  static async make(job: FuseJob): Promise<Fusion> {
    const { model, layout, tasks, conditions, shares, settings, seed, signal } = job;
    const spread = spreadOf(tasks.flatMap(({ snapshots }) => snapshots));
    const condition = conditions.length / tasks.length;
    const sizes = { count: countOf(layout), condition, latent: settings.latent, channels: settings.channels };
    const network = new LatentNetwork(model.gpu, sizes, seed);
    const mixture = new Mixture(model.gpu, { network, conditions, shares, spread });
    for (const parameter of model.adapter?.tensors() ?? []) parameter.trainable = false; // the network makes them
    const factors = factorParameters(model, layout);
    const rows = tasks.map(({ task, snapshots, source }) => ({
      ...{ task, source },
      rows: snapshots.map((numbers) => normalized(numbers, spread, network.width)),
    }));
    const learning = await Learning.make({
      ...{ network, mixture, model, factors, conditions, seed, signal },
      tasks: rows,
      batch: settings.snapshot_batch,
      rate: settings.lr,
      metaRate: settings.meta_lr,
      mixRate: settings.mix_lr,
      klWeight: settings.kl_weight,
    });
    const last = anchorsOf(rows.map(({ rows }) => rows.at(-1)!));
    return new Fusion(job, { network, mixture, factors }, learning, last);
  }

  /** Bytes on the GPU beside the model. */
  get bytes(): { activations: number; learnt: number } {
    return this.#learning.bytes;
  }

  /** Learns the latent space, then to be mixed. */
  async learn(done: (step: LearnedStep) => void): Promise<void> {
    const { steps, meta_steps, inner_steps } = this.#job.settings;
    await this.#learning.learnRows(steps, done);
    await this.#learning.learnMixing(meta_steps, inner_steps, done);
  }

  /** The adapter that a mixture is decoded to, after so many steps of it. */
  async decoded(steps = 0): Promise<Float32Array> {
    const losses = await this.#learning.mix(this.#last, steps);
    await Promise.all(losses);
    return this.#learning.decoded(this.#last);
  }

  /** What the network makes of a task's last snapshot: its reconstruction. */
  async reconstructed(task: number): Promise<Float32Array> {
    const shares = this.#job.tasks.map((_, k) => (k === task ? 1 : 0));
    this.mixture.begin(shares);
    return this.#learning.decoded(this.#last);
  }

  free(): void {
    this.#learning.free();
    this.mixture.free();
    this.network.free();
  }
}

/** Mean loss of every task, with these numbers in the place of the adapter's; in the order of the groups. */
export class AdapterScores {
  readonly #heldOut: HeldOut;
  readonly #factors: readonly Parameter[];

  constructor(model: Model, factors: readonly Parameter[], groups: readonly HeldOutGroup[]) {
    this.#heldOut = new HeldOut(model, groups);
    this.#factors = factors;
  }

  async losses(numbers: Float32Array): Promise<number[]> {
    putNumbers(this.#factors, numbers);
    return (await this.#heldOut.losses()).map(({ loss }) => loss);
  }

  free(): Promise<void> {
    return this.#heldOut.free();
  }
}
