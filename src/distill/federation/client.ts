/**
 * A client of a federation: a classifier with a small head on every layer, its own rows, and what others said.
 *
 *   loss   CE of the labels + sum over active taps of w KL(shared mean of the row's class || the tap's head)
 *          + CE of the taps' heads, which moves the heads alone
 */
import { type Batch, batchKey, type ExampleBatch, stackExamples } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { lossWeights } from "../../data/targets.ts";
import { keyedNormals } from "../../keyed-random.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import { pooledLayers } from "../../run/scoring/pooled-features.ts";
import { type BatchSource, stackedBatches } from "../../run/training/batch-source.ts";
import type { Controller } from "../../run/training/controller.ts";
import { type Objective, ofBatch } from "../../run/training/objective.ts";
import { type TrainingOptions, trainModel } from "../../run/training/train-model.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { profileOf } from "../../tensor/program.ts";
import { dynamic, Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type ClassMeans, classMeans } from "./class-means.ts";

/** Rows that are read at once. */
const AT_ONCE = 64;
/** The least share of a class, before its logarithm. */
const LEAST = 1e-12;

export interface ClientOptions {
  readonly name: string;
  readonly examples: readonly Example[];
  readonly batchSize: number;
  /** Weight of a tap's divergence. */
  readonly weight: number;
  readonly seed: number;
}

interface Head {
  readonly weight: Parameter;
  readonly bias: Parameter;
}

/** How wide the layers of a model are: what each tap reads. */
function tapWidths(model: Model, example: Example): number[] {
  const rec = new Recorder(profileOf(model.gpu), { training: false });
  const batch = stackExamples([example]);
  return pooledLayers(rec, model.record(rec, recordInputs(rec, batch)), 1).map(({ shape }) => shape.at(-1)!);
}

export class Client {
  readonly name: string;
  readonly model: Model;
  readonly source: BatchSource<ExampleBatch>;
  readonly #options: ClientOptions;
  readonly #heads: readonly Head[];
  #shared: ClassMeans | undefined;
  #active = 0;

  constructor(model: Model, options: ClientOptions) {
    const { name, examples, batchSize, seed } = options;
    this.name = name;
    this.model = model;
    this.#options = options;
    this.source = stackedBatches(examples, [name], { batchSize, seed });
    const { gpu, sizes } = model;
    this.#heads = tapWidths(model, examples[0]!).map((width, tap) => {
      const weight = new Parameter(gpu, `tap.${tap}.weight`, [sizes.outputs, width]);
      const bias = new Parameter(gpu, `tap.${tap}.bias`, [sizes.outputs]);
      // All clients' heads begin alike, as their models do.
      weight.write(keyedNormals(weight.size, 1 / Math.sqrt(width), seed, weight.name));
      bias.write(new Float32Array(sizes.outputs));
      return { weight, bias };
    });
  }

  get taps(): number {
    return this.#heads.length;
  }

  /** What the others said, and how many taps listen to it. */
  hear(shared: ClassMeans, active: number): void {
    this.#shared = shared;
    this.#active = active;
  }

  #tap(rec: Recorder, layer: Tensor, tap: number): Tensor {
    const { weight, bias } = this.#heads[tap]!;
    return linear(rec, layer, rec.parameter(weight), { bias: rec.parameter(bias) });
  }

  /** The objective of this client's rows. */
  objective(): Objective<Batch> {
    const { model } = this;
    return {
      name: "fedd2s",
      ...ofBatch((batch: Batch) => batch),
      record: (rec, batch) => {
        const recorded = model.record(rec, recordInputs(rec, batch), { statistics: "batch" });
        const targets = recordTargets(rec, batch);
        const mean = rec.input("weights", [batch.rows]); // 1 / total
        const labels = crossEntropy(rec, recorded.head(recorded.hidden), targets);
        const terms = [labels];
        const told: Record<string, Tensor> = { cross_entropy: dot(rec, labels, mean) };
        for (const [tap, layer] of pooledLayers(rec, recorded, batch.rows).entries()) {
          const shared = rec.input(`shared.${tap}`, [batch.rows, model.sizes.outputs]); // logarithms
          const apart = divergence(rec, this.#tap(rec, layer, tap), shared, targets, { kind: "forward-kl" });
          told[`tap.${tap}`] = dot(rec, apart, mean);
          terms.push(scale(rec, apart, dynamic(`weight.${tap}`)));
          terms.push(crossEntropy(rec, this.#tap(rec, stopGradient(rec, layer), tap), targets));
        }
        const losses = terms.reduce((a, b) => add(rec, a, b));
        return { backward: [[losses, mean]], metrics: { loss: dot(rec, losses, mean), ...told } };
      },
      fill: (program, batch, total) => {
        fillInputs(program, batch);
        const targets = fillTargets(program, batch);
        program.write("weights", lossWeights(batch, targets, total));
        for (let tap = 0; tap < this.taps; tap++) program.write(`shared.${tap}`, this.#logarithms(tap, targets));
      },
    };
  }

  /** Logarithms of the shared mean of each row's class; zeros, which are equal shares, where there is none. */
  #logarithms(tap: number, targets: Int32Array): Float32Array {
    const { outputs } = this.model.sizes;
    const values = new Float32Array(targets.length * outputs);
    for (const [row, label] of targets.entries()) {
      const mean = this.#shared?.means[tap]?.[label];
      if (mean)
        values.set(
          mean.map((share) => Math.log(Math.max(share, LEAST))),
          row * outputs,
        );
    }
    return values;
  }

  /** Which taps listen, for programs. */
  readonly #listening: Controller = {
    name: "taps",
    values: () =>
      Object.fromEntries(
        Array.from({ length: this.taps }, (_, tap) => [
          `weight.${tap}`,
          this.#shared && tap < this.#active ? this.#options.weight : 0,
        ]),
      ),
    state: () => null,
    load: () => {},
  };

  /** Some steps on its own rows; gives the loss of the labels in the last. */
  async learn(
    given: Pick<TrainingOptions<Batch>, "optimizer" | "rate" | "steps" | "seed"> & {
      readonly signal: AbortSignal;
      readonly onStep: () => void;
    },
  ): Promise<number> {
    const { model, source, name } = this;
    const { last } = await trainModel<Batch>({
      ...given,
      ...{ model, source, name, objective: this.objective(), controllers: [this.#listening] },
      extra: this.#heads.flatMap(({ weight, bias }) => [weight, bias]),
      advice: "lower --lr",
    });
    given.signal.throwIfAborted();
    return last?.metrics.cross_entropy ?? Number.NaN;
  }

  /** Class means of its taps over all its rows. */
  async means(): Promise<ClassMeans> {
    const { examples } = this.#options;
    const { outputs } = this.model.sizes;
    const programs = new Programs(this.model.gpu);
    const soft = this.#heads.map(() => new Float32Array(examples.length * outputs));
    for (let from = 0; from < examples.length; from += AT_ONCE) {
      const batch = stackExamples(examples.slice(from, from + AT_ONCE));
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const layers = pooledLayers(rec, this.model.record(rec, recordInputs(rec, batch)), batch.rows);
        for (const [tap, layer] of layers.entries()) rec.output(`tap ${tap}`, softmax(rec, this.#tap(rec, layer, tap)));
      });
      fillInputs(program, batch);
      program.run();
      for (const [tap, values] of soft.entries()) values.set(await program.read(`tap ${tap}`), from * outputs);
    }
    programs.free();
    return classMeans(
      soft,
      examples.map(({ label }) => label),
      outputs,
    );
  }

  free(): void {
    for (const { weight, bias } of this.#heads) {
      weight.free();
      bias.free();
    }
    this.model.free();
  }
}
