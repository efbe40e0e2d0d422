/**
 * How the network and mixtures of it learn. First the network alone, on snapshots of all tasks. Then it learns to be
 * fused too, by MAML of first order (Finn et al., ICML 2017, https://arxiv.org/abs/1703.03400): a mixture of a snapshot
 * of each task takes a few steps of gradient descent on rows, and the network takes a step by what the decoded adapter
 * then loses on other rows, beside its own loss; the way from the network to the mixture's steps has no gradient.
 */
import { type Batch, batchKey } from "../../data/batch.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import { keyedNormals, keyedUnits } from "../../keyed-random.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import { Programs } from "../../run/programs.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { Updater } from "../../run/training/updater.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { LatentNetwork } from "./latent-network.ts";
import type { Learnt, Mixture } from "./mixture.ts";

/** Largest global norm of a gradient, of the network and of a mixture. */
const CLIP = 1;

/** The snapshots of a task as the network reads them, (width) each, in the order of their training. */
export interface TaskRows {
  readonly task: string;
  readonly rows: readonly Float32Array[];
  readonly source: BatchSource<Batch>;
}

export interface LearningOptions {
  readonly network: LatentNetwork;
  readonly mixture: Mixture;
  /** With an adapter, in the place of whose factors decoded ones stand. */
  readonly model: Model;
  /** The adapter's factors in the order of a row's numbers. */
  readonly factors: readonly Parameter[];
  readonly tasks: readonly TaskRows[];
  /** By task, (T, d). */
  readonly conditions: Float32Array;
  readonly batch: number;
  /** Of the network on snapshots alone, and where its mixtures count. */
  readonly rate: number;
  readonly metaRate: number;
  /** Of a mixture's numbers. */
  readonly mixRate: number;
  readonly klWeight: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** What a step of the network was: its own error, and the mean loss of the tasks by what it decoded, where it was. */
export interface LearnedStep {
  readonly error: number;
  readonly loss?: number;
}

/** Names of what programs give. */
const ERROR = "error";
const LOSS = "loss";
const NUMBERS = "numbers";

export class Learning {
  readonly #options: LearningOptions;
  readonly #programs: Programs;
  readonly #network: Updater;
  readonly #mixture: Updater;
  /** Steps of the network so far. */
  #step = 0;
  /** Snapshots in the order of an epoch. */
  #order: { readonly epoch: number; readonly places: Uint32Array } | undefined;

  private constructor(options: LearningOptions, programs: Programs, network: Updater, mixture: Updater) {
    this.#options = options;
    this.#programs = programs;
    this.#network = network;
    this.#mixture = mixture;
  }

  /** Takes the memory of all that follows: the programs of the largest batches are made here. */
  static async make(options: LearningOptions): Promise<Learning> {
    const { gpu } = options.model;
    const common = { decays: () => false, clip: CLIP };
    const adamw = bindDefaults(await loadMethod("optimizer", "adamw"), { beta2: 0.999, weight_decay: 0 });
    const sgd = bindDefaults(await loadMethod("optimizer", "sgd"), { momentum: 0 });
    const made = new Learning(
      options,
      new Programs(gpu, { training: true }),
      await Updater.make(gpu, options.network.parameters, { ...common, optimizer: adamw }),
      await Updater.make(gpu, options.mixture.parameters, { ...common, optimizer: sgd }),
    );
    for (const { source } of options.tasks)
      for (const learnt of ["network", "mixture"] as const) await made.#lossProgram(source.largest(), learnt);
    await made.#rowsProgram();
    return made;
  }

  /** Bytes on the GPU: activations with what programs hold, and what is learnt with gradients and states. */
  get bytes(): { activations: number; learnt: number } {
    const { network, mixture } = this.#options;
    const size = [...network.parameters, ...mixture.parameters].reduce((total, own) => total + own.size, 0);
    return {
      activations: this.#programs.slots.bytes + this.#programs.ownBytes,
      learnt: 8 * size + this.#network.bytes + this.#mixture.bytes,
    };
  }

  get #count(): number {
    return this.#options.tasks.reduce((total, { rows }) => total + rows.length, 0);
  }

  /** The network's own loss of some rows. */
  #rowsProgram() {
    const { network, batch, klWeight } = this.#options;
    const { condition, latent } = network.sizes;
    const count = Math.min(batch, this.#count);
    return this.#programs.get("rows", (rec) => {
      const { error, divergence } = network.losses(rec, rec.input("rows", [count, network.width]), {
        condition: rec.input("conditions", [count, condition]),
        noise: rec.input("noise", [count, latent]),
        weight: klWeight,
      });
      rec.output(ERROR, error);
      rec.backward([[add(rec, error, divergence), rec.constant(Float32Array.of(1), [1], "one")]]);
    });
  }

  #numbers(rec: Recorder, learnt: Learnt) {
    const { network, mixture, tasks } = this.#options;
    return mixture.record(rec, rec.input("anchors", [tasks.length, network.width]), learnt);
  }

  /** The loss of a batch by the decoded adapter. */
  #lossProgram(batch: Batch, learnt: Learnt) {
    const { model, factors } = this.#options;
    return this.#programs.get(`${learnt} ${batchKey(batch)}`, (rec) => {
      const parts = splitColumns(
        rec,
        this.#numbers(rec, learnt),
        factors.map(({ size }) => size),
      );
      const decoded = new Map(factors.map((factor, i) => [factor, rec.reshape(parts[i]!, factor.shape)]));
      const objective = crossEntropyObjective(model);
      const { backward, metrics } = rec.standingIn(decoded, () => objective.record(rec, batch, ""));
      rec.output(LOSS, metrics.loss!);
      rec.backward(backward);
    });
  }

  /** Makes gradients of the network by rows of the epoch that it is in; gives the error to come. */
  async #passRows(): Promise<Promise<number>> {
    const { network, tasks, conditions, seed } = this.#options;
    const { condition, latent } = network.sizes;
    const { program } = await this.#rowsProgram();
    const all = tasks.flatMap(({ rows }, task) => rows.map((row) => ({ row, task })));
    const count = Math.min(this.#options.batch, all.length);
    const rows = new Float32Array(count * network.width);
    const given = new Float32Array(count * condition);
    for (let i = 0; i < count; i++) {
      const drawn = this.#step * count + i;
      const epoch = Math.floor(drawn / all.length);
      if (this.#order?.epoch !== epoch)
        this.#order = { epoch, places: permutation(all.length, seed, epoch, "snapshots") };
      const { row, task } = all[this.#order.places[drawn % all.length]!]!;
      rows.set(row, i * network.width);
      given.set(conditions.subarray(task * condition, (task + 1) * condition), i * condition);
    }
    program.write("rows", rows);
    program.write("conditions", given);
    program.write("noise", keyedNormals(count * latent, 1, seed, `fvae noise ${this.#step}`));
    this.#run(program, 0);
    return program.read(ERROR).then(([error]) => error!);
  }

  #run(program: Program, accumulate: 0 | 1): void {
    const { seed } = this.#options;
    program.run({ accumulate, seed: (Math.imul(seed, 0x9e3779b9) + this.#step) >>> 0 });
  }

  /** Makes gradients by the mean loss of the next batch of every task; gives that loss to come. */
  async #passTasks(anchors: Float32Array, learnt: Learnt, first: 0 | 1): Promise<Promise<number>> {
    const { model, tasks } = this.#options;
    const objective = crossEntropyObjective(model);
    const reads: Promise<Float32Array>[] = [];
    for (const [i, { source }] of tasks.entries()) {
      const { batch } = await source.next();
      const { program } = await this.#lossProgram(batch, learnt);
      program.write("anchors", anchors);
      objective.fill(program, batch, tasks.length * Math.max(1, batch.counted), "");
      this.#run(program, i === 0 ? first : 1);
      reads.push(program.read(LOSS));
    }
    return Promise.all(reads).then((all) => all.reduce((total, [loss]) => total + loss!, 0));
  }

  /** The mixture as it begins, after so many steps of descent. Gives the mean losses of its steps to come. */
  async mix(anchors: Float32Array, steps: number): Promise<Promise<number>[]> {
    const { mixture, mixRate, seed } = this.#options;
    mixture.begin();
    const losses: Promise<number>[] = [];
    for (let t = 1; t <= steps; t++) {
      const loss = await this.#passTasks(anchors, "mixture", 0);
      const sound = expectFinite(this.#mixture.step(t, mixRate, seed), "a mixture", "--mix-lr");
      const both = Promise.all([loss, sound]).then(([loss]) => loss);
      both.catch(() => {}); // awaited later
      losses.push(both);
    }
    return losses;
  }

  /** Steps of the network on snapshots alone; the rate falls to a tenth along a cosine. */
  async learnRows(steps: number, done: (step: LearnedStep) => void): Promise<void> {
    const { rate } = this.#options;
    const falling = (step: number) => rate * (0.55 + 0.45 * Math.cos((Math.PI * step) / steps));
    await this.#learn(steps, falling, done, async () => ({}));
  }

  /** Steps of the network that are to make its mixtures good after `inner` steps. */
  async learnMixing(steps: number, inner: number, done: (step: LearnedStep) => void): Promise<void> {
    const { metaRate, tasks, seed } = this.#options;
    await this.#learn(
      steps,
      () => metaRate,
      done,
      async () => {
        const unit = keyedUnits(seed, `fvae anchors ${this.#step}`);
        const anchors = anchorsOf(tasks.map(({ rows }) => rows[Math.floor(unit() * rows.length)]!));
        return { anchors, inner: await this.mix(anchors, inner) };
      },
    );
  }

  async #learn(
    steps: number,
    rate: (step: number) => number,
    done: (step: LearnedStep) => void,
    mixed: () => Promise<{ readonly anchors?: Float32Array; readonly inner?: readonly Promise<number>[] }>,
  ): Promise<void> {
    const { seed, signal } = this.#options;
    let before: Promise<LearnedStep> | undefined; // what is told is a step late, so that the GPU need not wait
    for (let step = 0; step < steps; step++) {
      signal.throwIfAborted();
      const { anchors, inner = [] } = await mixed();
      const error = await this.#passRows();
      const loss = anchors && (await this.#passTasks(anchors, "network", 1));
      const norm = this.#network.step(++this.#step, rate(step), seed);
      const told = Promise.all([error, loss, expectFinite(norm, "the network", "--lr"), ...inner]);
      const result = told.then(([error, loss]) => ({ error, ...(loss === undefined ? {} : { loss }) }));
      result.catch(() => {}); // awaited in the next round
      if (before) done(await before);
      before = result;
    }
    if (before) done(await before);
  }

  /** The numbers of the adapter that the mixture is decoded to now. */
  async decoded(anchors: Float32Array): Promise<Float32Array> {
    const { program } = await this.#programs.get(NUMBERS, (rec) => {
      rec.output(NUMBERS, this.#numbers(rec, "nothing"));
    });
    program.write("anchors", anchors);
    this.#run(program, 0);
    return program.read(NUMBERS);
  }

  free(): void {
    this.#programs.free();
    this.#network.free();
    this.#mixture.free();
  }
}

/** Rows one after the other, (T, width). */
export function anchorsOf(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.length * rows[0]!.length);
  for (const [i, row] of rows.entries()) all.set(row, i * row.length);
  return all;
}

/** Throws UserError (exit 1) for the norm of a gradient that is not finite, to whoever waits for it. */
async function expectFinite(norm: Promise<number>, what: string, flag: string): Promise<void> {
  if (!Number.isFinite(await norm))
    throw new UserError(`the gradient of ${what} is not finite`, `lower ${flag}; are the adapters' values sound?`, 1);
}
