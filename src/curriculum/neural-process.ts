/**
 * A small neural process (Garnelo et al. 2018, https://arxiv.org/abs/1807.01622) that learns a function of tasks from
 * values at some of them, on the engine.
 *
 *   r = mean_b e(x_b, y_b);  z ~ N(mu(r), sigma(r)), sigma = 0.1 + 0.9 sigmoid;  y' = d(x, z)
 *   loss = mean (y' - y)^2 + beta KL(N(mu, sigma) || prior)
 *
 * e has two hidden layers, d three, with ReLU; mu and sigma are linear in r. K tasks, F features of each, S samples of
 * z, L values of r and of z, H values of a hidden layer.
 */
import type { Random } from "../data/random.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { bindDefaults } from "../method/bind.ts";
import { loadMethod } from "../method/registry.ts";
import { Programs } from "../run/programs.ts";
import { Updater } from "../run/training/updater.ts";
import { relu } from "../tensor/ops/activation.ts";
import { splitColumns } from "../tensor/ops/columns.ts";
import { add, addScalar, div, log, mul, scale, sigmoid, square, sub, sumTo } from "../tensor/ops/elementwise.ts";
import { linear } from "../tensor/ops/linear.ts";
import { sum } from "../tensor/ops/reduce.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface Shape {
  /** K */
  readonly tasks: number;
  /** F: values that describe a task. */
  readonly features: number;
  /** H */
  readonly hidden: number;
  /** L */
  readonly latent: number;
}

/** A diagonal normal distribution of z, (L) each. */
export type Gaussian = {
  mean: number[];
  deviation: number[];
};

/**
 * Shapes of the weights, by name. Weights are (out, in). The decoder's first layer reads x and z through a matrix each.
 */
export function weightShapes({
  features: f,
  hidden: h,
  latent: l,
}: Shape): Readonly<Record<string, readonly number[]>> {
  return {
    "encoder.0": [h, f + 1],
    "encoder.0.bias": [h],
    "encoder.1": [h, h],
    "encoder.1.bias": [h],
    "encoder.2": [l, h],
    "encoder.2.bias": [l],
    head: [2 * l, l],
    "head.bias": [2 * l],
    "decoder.x": [h, f],
    "decoder.z": [h, l],
    "decoder.0.bias": [h],
    "decoder.1": [h, h],
    "decoder.1.bias": [h],
    "decoder.2": [h, h],
    "decoder.2.bias": [h],
    "decoder.3": [1, h],
    "decoder.3.bias": [1],
  };
}

type Weights = Readonly<Record<string, Tensor>>;

/** All weights in N(0, 2 / inputs), biases 0, one after the other. */
export function firstWeights(shape: Shape, random: Random): number[] {
  return Object.entries(weightShapes(shape)).flatMap(([name, [out = 0, inputs = 0]]) => {
    if (inputs === 0) return Array.from({ length: out }, () => 0);
    const wide = name === "decoder.x" || name === "decoder.z" ? shape.features + shape.latent : inputs;
    return Array.from({ length: out * inputs }, () => Math.fround(random.normal() * Math.sqrt(2 / wide)));
  });
}

const layer = (rec: Recorder, w: Weights, name: string, x: Tensor): Tensor =>
  linear(rec, x, w[name]!, { bias: w[`${name}.bias`]! });

/**
 * Mean and deviation of z, (1, L) each, from what is known of the tasks: `points` (K, F + 1), x and y of each, and
 * `shares` (K, 1), 1 / n for the n tasks whose y is known and 0 for the others.
 */
function recordPosterior(rec: Recorder, w: Weights, points: Tensor, shares: Tensor, latent: number) {
  const first = relu(rec, layer(rec, w, "encoder.0", points)); // (K, H)
  const each = layer(rec, w, "encoder.2", relu(rec, layer(rec, w, "encoder.1", first))); // (K, L)
  const r = sumTo(rec, mul(rec, each, shares), [1, latent]);
  const [mean, gate] = splitColumns(rec, layer(rec, w, "head", r), [latent, latent]) as [Tensor, Tensor];
  return { mean, deviation: addScalar(rec, scale(rec, sigmoid(rec, gate), 0.9), 0.1) };
}

/** y' of every sample and task, (S, K), from z (S, L) and x (K, F). */
export function recordDecoder(rec: Recorder, w: Weights, z: Tensor, x: Tensor): Tensor {
  const [s = 0, k = 0] = [z.shape[0], x.shape[0]];
  const ofZ = linear(rec, z, w["decoder.z"]!, { bias: w["decoder.0.bias"]! }); // (S, H)
  const ofX = linear(rec, x, w["decoder.x"]!); // (K, H)
  const h = ofZ.shape[1]!;
  const both = add(rec, rec.reshape(ofZ, [s, 1, h]), rec.reshape(ofX, [1, k, h])); // (S, K, H)
  let y = relu(rec, rec.reshape(both, [s * k, h]));
  for (const name of ["decoder.1", "decoder.2"]) y = relu(rec, layer(rec, w, name, y));
  return rec.reshape(layer(rec, w, "decoder.3", y), [s, k]);
}

/** What the loss is computed from. */
export interface LossInputs {
  /** (K, F) and (1, K): the tasks and their values, any number where a value is unknown. */
  readonly x: Tensor;
  readonly y: Tensor;
  /** (K, F + 1): both side by side. */
  readonly points: Tensor;
  /** (K, 1): 1 / n for the n tasks with known values, 0 for the others. */
  readonly shares: Tensor;
  /** (S, L), standard normal. */
  readonly noise: Tensor;
  /** (1, L) each. */
  readonly priorMean: Tensor;
  readonly priorDeviation: Tensor;
}

/** The loss (1), and the posterior it is taken at. */
export function recordLoss(rec: Recorder, w: Weights, given: LossInputs, beta: number) {
  const { x, y, points, shares, noise, priorMean, priorDeviation } = given;
  const [samples = 1, latent = 0] = noise.shape;
  const { mean, deviation } = recordPosterior(rec, w, points, shares, latent);
  const z = add(rec, mul(rec, noise, deviation), mean); // (S, L)
  const errors = square(rec, sub(rec, recordDecoder(rec, w, z, x), y)); // (S, K)
  const fit = scale(rec, sum(rec, mul(rec, errors, rec.reshape(shares, [1, shares.shape[0]!]))), 1 / samples);
  // log(s0 / s) + (s^2 + (m - m0)^2) / (2 s0^2) - 1/2, summed over the latent values.
  const moved = add(rec, square(rec, deviation), square(rec, sub(rec, mean, priorMean)));
  const spread = scale(rec, div(rec, moved, square(rec, priorDeviation)), 0.5);
  const apart = sub(rec, add(rec, log(rec, priorDeviation), spread), log(rec, deviation));
  const divergence = addScalar(rec, sum(rec, apart), -latent / 2);
  return { loss: add(rec, fit, scale(rec, divergence, beta)), mean, deviation };
}

/** Weights and Adam's moments, one list each in the order of `weightShapes`: JSON, exact. */
export type ProcessState = {
  weights: number[];
  moments: number[];
  /** Steps of Adam so far. */
  steps: number;
};

export const firstState = (shape: Shape, random: Random): ProcessState => {
  const weights = firstWeights(shape, random);
  return { weights, moments: Array.from({ length: 2 * weights.length }, () => 0), steps: 0 };
};

export interface ProcessOptions {
  readonly shape: Shape;
  /** x of every task, F each. */
  readonly tasks: readonly (readonly number[])[];
  readonly beta: number;
  /** Samples of z in a step of learning, and in a prediction. */
  readonly fitSamples: number;
  readonly samples: number;
  /** Learning rate of Adam. */
  readonly lr: number;
}

/** The process on a GPU. Its state is written into it and read back, so that whoever owns it can save it as JSON. */
export class NeuralProcess {
  readonly #gpu: Gpu;
  readonly #options: ProcessOptions;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #programs: Programs;
  readonly #updater: Updater;
  #steps = 0;

  private constructor(gpu: Gpu, options: ProcessOptions, parameters: ReadonlyMap<string, Parameter>, updater: Updater) {
    this.#gpu = gpu;
    this.#options = options;
    this.#parameters = parameters;
    this.#programs = new Programs(gpu, { training: true });
    this.#updater = updater;
  }

  static async make(gpu: Gpu, options: ProcessOptions): Promise<NeuralProcess> {
    const parameters = new Map(
      Object.entries(weightShapes(options.shape)).map(([name, shape]) => [name, new Parameter(gpu, name, shape)]),
    );
    const optimizer = bindDefaults(await loadMethod("optimizer", "adamw"), {
      beta2: 0.999,
      weight_decay: 0,
    });
    const all = [...parameters.values()];
    const updater = await Updater.make(gpu, all, { optimizer, decays: () => false, clip: 0 });
    return new NeuralProcess(gpu, options, parameters, updater);
  }

  /** Buffers of weights, then of moments, with their numbers of values. */
  #buffers(): { buffer: GPUBuffer; size: number }[] {
    const weights = [...this.#parameters.values()].map(({ buffer, size }) => ({ buffer, size }));
    const moments = this.#updater.states().map(({ buffer, bytes }) => ({ buffer, size: bytes / 4 }));
    return [...weights, ...moments];
  }

  write({ weights, moments, steps }: ProcessState): void {
    const values = Float32Array.from([...weights, ...moments]);
    let at = 0;
    for (const { buffer, size } of this.#buffers()) {
      this.#gpu.write(buffer, 0, new Uint8Array(values.slice(at, at + size).buffer));
      at += size;
    }
    this.#steps = steps;
  }

  async read(): Promise<ProcessState> {
    const parts = await Promise.all(this.#buffers().map(({ buffer, size }) => this.#gpu.readFloats(buffer, size)));
    const all = parts.flatMap((part) => [...part]);
    const count = all.length / 3;
    return { weights: all.slice(0, count), moments: all.slice(count), steps: this.#steps };
  }

  #weights(rec: Recorder): Weights {
    return Object.fromEntries([...this.#parameters].map(([name, parameter]) => [name, rec.parameter(parameter)]));
  }

  #recordFit(rec: Recorder): void {
    const { shape, beta, fitSamples } = this.#options;
    const { tasks: k, features: f, latent: l } = shape;
    const { loss, mean, deviation } = recordLoss(
      rec,
      this.#weights(rec),
      {
        x: this.#x(rec),
        y: rec.input("y", [1, k]),
        points: rec.input("points", [k, f + 1]),
        shares: rec.input("shares", [k, 1]),
        noise: rec.input("noise", [fitSamples, l]),
        priorMean: rec.input("prior mean", [1, l]),
        priorDeviation: rec.input("prior deviation", [1, l]),
      },
      beta,
    );
    rec.output("mean", mean);
    rec.output("deviation", deviation);
    rec.backward([[loss, rec.constant(Float32Array.of(1), [1], "one")]]);
  }

  #x(rec: Recorder): Tensor {
    const { tasks, shape } = this.#options;
    return rec.constant(Float32Array.from(tasks.flat()), [shape.tasks, shape.features], "tasks");
  }

  /**
   * One step of learning from values of tasks, NaN where unknown; gives the posterior before it, the prior of the next
   * step.
   */
  async fit(values: readonly number[], noise: readonly number[], prior: Gaussian): Promise<Gaussian> {
    const { tasks, lr } = this.#options;
    const { program } = await this.#programs.get("fit", (rec) => this.#recordFit(rec));
    const isKnown = values.map(Number.isFinite);
    const count = isKnown.filter(Boolean).length;
    const y = values.map((value, i) => (isKnown[i] ? value : 0));
    program.write("y", Float32Array.from(y));
    program.write("points", Float32Array.from(tasks.flatMap((x, i) => [...x, y[i]!])));
    program.write(
      "shares",
      Float32Array.from(isKnown, (is) => (is ? 1 / count : 0)),
    );
    program.write("noise", Float32Array.from(noise));
    program.write("prior mean", Float32Array.from(prior.mean));
    program.write("prior deviation", Float32Array.from(prior.deviation));
    program.run({ accumulate: 0 });
    const posterior = Promise.all([program.read("mean"), program.read("deviation")]);
    await this.#updater.step(++this.#steps, lr, 0);
    const [mean, deviation] = await posterior;
    return { mean: [...mean], deviation: [...deviation] };
  }

  /** Predicted values of all tasks, K for each of the samples of z (S L). */
  async predict(z: readonly number[]): Promise<number[][]> {
    const { shape, samples } = this.#options;
    const { program } = await this.#programs.get("predict", (rec) => {
      rec.output("y", recordDecoder(rec, this.#weights(rec), rec.input("z", [samples, shape.latent]), this.#x(rec)));
    });
    program.write("z", Float32Array.from(z));
    program.run();
    const y = await program.read("y"); // (S, K)
    return Array.from({ length: samples }, (_, s) => [...y.subarray(s * shape.tasks, (s + 1) * shape.tasks)]);
  }

  free(): void {
    this.#programs.free();
    this.#updater.free();
    for (const parameter of this.#parameters.values()) parameter.free();
  }
}
