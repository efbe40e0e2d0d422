/**
 * Networks that learn a permutation of bits from its k one-hot rows, and what they say together of all other inputs: by
 * the mean of their outputs, and by the mean of their weights.
 *
 * Two-layer ReLU networks in the parameterisation of the tangent kernel, f(x) = sqrt(2 / n) A relu(W x) with standard
 * normal W and A, trained by gradient descent on half the squared error over all rows. In (n / 2)^(1/4) times smaller W
 * and A the factor is gone and both have one rate, so the network is an ordinary `mlp` without biases.
 *
 * Networks come in pairs with opposite A, whose outputs before training cancel in the mean: it is that of independent
 * networks, with far less noise.
 */
import { type ExampleBatch, stackExamples } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { stackedBatches } from "../../run/training/batch-source.ts";
import { type Objective, ofBatch } from "../../run/training/objective.ts";
import { trainModel } from "../../run/training/train-model.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { rowDistance } from "../../tensor/ops/row-distance.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";

export interface Settings {
  /** Bits. */
  readonly k: number;
  readonly width: number;
  readonly seed: number;
  /** Where each bit goes. */
  readonly targets: readonly number[];
}

/** Steps of gradient descent; the error falls by 1 - 1.68 / (1.68 + k / pi) in each, at least. */
const stepsFor = (k: number): number => Math.ceil(24 * (1 + k / (Math.PI * (2 - 1 / Math.PI))));

/** An input of bits, scaled to unit length. */
const unit = (bits: readonly number[]): Float32Array<ArrayBuffer> => {
  const length = Math.sqrt(bits.reduce((a, b) => a + b, 0));
  return Float32Array.from(bits, (bit) => bit / length);
};

const batchOf = (inputs: readonly (readonly number[])[]) =>
  stackExamples(inputs.map((bits) => ({ x: unit(bits), shape: [bits.length], label: 0 })));

/** Half the squared error of every row, summed. */
function squaredError(model: Model, k: number): Objective<ExampleBatch> {
  const wanted = ({ labels }: ExampleBatch) => {
    const rows = new Float32Array(labels.length * k);
    for (const [r, label] of labels.entries()) rows[r * k + label] = 1;
    return rows;
  };
  return {
    name: "squared error",
    ...ofBatch((batch: ExampleBatch) => batch),
    record(rec, batch) {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch));
      const halves = rec.constant(new Float32Array(batch.rows).fill(0.5), [batch.rows], "halves");
      const errors = rowDistance(rec, head(hidden), rec.input("wanted", [batch.rows, k]), "mse"); // (k)
      return { backward: [[errors, halves]], metrics: { loss: dot(rec, errors, halves) } };
    },
    fill(program, batch) {
      fillInputs(program, batch);
      program.write("wanted", wanted(batch));
    },
  };
}

/** The networks of an experiment, one after the other in the same memory. */
export class Ensemble implements Disposable {
  readonly #gpu: Gpu;
  readonly #model: Model;
  readonly #settings: Settings;
  readonly #sums: Float64Array[];
  #trained = 0;

  private constructor(gpu: Gpu, model: Model, settings: Settings) {
    this.#gpu = gpu;
    this.#model = model;
    this.#settings = settings;
    this.#sums = this.#weights().map(({ size }) => new Float64Array(size));
  }

  static async make(gpu: Gpu, settings: Settings): Promise<Ensemble> {
    const { k, width } = settings;
    const json = { model_type: "mlp", input_size: k, hidden_sizes: [width], num_labels: k };
    const freeze = (name: string) => name.endsWith("bias");
    return new Ensemble(gpu, await Model.fresh(gpu, json, "permutation", { seed: 0, freeze }), settings);
  }

  #weights() {
    return this.#model.trainable();
  }

  /** Trains the next network from weights of its own. Gives half its squared error at the end. */
  async train(signal: AbortSignal): Promise<number> {
    const { k, width, seed, targets } = this.#settings;
    const [pair, mirrored] = [Math.floor(this.#trained / 2), this.#trained % 2 === 1];
    for (const weight of this.#weights()) {
      const random = new Random(seed, "permutation", pair, weight.name);
      const deviation = (2 / width) ** 0.25 * (mirrored && weight.name.startsWith("classifier") ? -1 : 1);
      weight.write(Float32Array.from({ length: weight.size }, () => deviation * random.normal()));
    }
    this.#trained++;
    const ones = Array.from({ length: k }, (_, i) => Array.from({ length: k }, (__, j) => Number(i === j)));
    const rows = ones.map((bits, i) => ({
      ...{
        form: "example" as const,
        x: unit(bits),
        shape: [k],
        label: targets[i]!,
        extra: {},
        group: 0,
        place: `bit ${i}`,
      },
    }));
    const largest = 2 - 1 / Math.PI + k / Math.PI; // eigenvalue of the kernel
    const steps = stepsFor(k);
    const { last } = await trainModel({
      ...{ model: this.#model, objective: squaredError(this.#model, k), steps, seed, signal },
      source: stackedBatches(rows, ["bits"], { batchSize: k, seed, shuffle: false }),
      optimizer: bind(await loadMethod("optimizer", "sgd"), { momentum: 0, nesterov: false, weight_decay: 0 }),
      rate: () => Math.sqrt(2 / width) / largest,
    });
    for (const [i, weight] of this.#weights().entries()) {
      const values = await this.#gpu.readFloats(weight.buffer, weight.size);
      for (const [j, value] of values.entries()) this.#sums[i]![j]! += value;
    }
    return last?.metrics.loss ?? Number.NaN;
  }

  /** Outputs (inputs, k) of the network that was trained last. */
  outputs(inputs: readonly (readonly number[])[]): Promise<Float32Array> {
    return this.#forward(inputs);
  }

  /** Outputs (inputs, k) of the network whose weights are the mean of all that were trained. */
  async meanWeights(inputs: readonly (readonly number[])[]): Promise<Float32Array> {
    for (const [i, weight] of this.#weights().entries())
      weight.write(Float32Array.from(this.#sums[i]!, (sum) => sum / this.#trained));
    return this.#forward(inputs);
  }

  async #forward(inputs: readonly (readonly number[])[]): Promise<Float32Array> {
    const batch = batchOf(inputs);
    const rec = new Recorder(profileOf(this.#gpu), { training: false });
    const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch));
    rec.output("outputs", head(hidden));
    const program = await Program.compile(this.#gpu, rec);
    fillInputs(program, batch);
    program.run();
    const outputs = Float32Array.from(await program.read("outputs"));
    program.free();
    return outputs;
  }

  [Symbol.dispose](): void {
    this.#model.free();
  }
}
