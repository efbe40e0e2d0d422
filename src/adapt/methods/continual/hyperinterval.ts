/**
 * HyperInterval: a hypernetwork makes the weights of a small network from a box of embeddings for each task. Boxes of
 * all tasks overlap, and weights from where they do are good for all of them.
 *
 *   centre c_t = gamma / 2m cos(e_t), half width gamma / m of each of m numbers
 *   loss = kappa CE(z, y) + (1 - kappa) CE(worst z in the box, y)
 *          + beta / (3 (t - 1) t) sum_{j < t} |low_j - low*_j|^2 + |middle_j - middle*_j|^2 + |high_j - high*_j|^2
 *
 * Krukowski et al. 2024, https://arxiv.org/abs/2405.15444; * are the bounds of the weights of earlier tasks, as they
 * were before the task. The width grows over the first half of a task's steps. With gamma 0 embeddings are e_t
 * themselves, and this is a hypernetwork for continual learning without intervals (von Oswald et al., ICLR 2020), whose
 * result is the network of the latest task. The hypernetwork begins with the model's own weights as its last bias.
 */
import { UserError } from "../../../errors.ts";
import { keyedNormals } from "../../../keyed-random.ts";
import type { Model } from "../../../model/model.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add, cos, mul, scale, square, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { embedding } from "../../../tensor/ops/embedding.ts";
import { sum } from "../../../tensor/ops/reduce.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { continualMethod, type HostTensor, type Stage, type Stream, type Term } from "../../continual/contract.ts";
import { type Box, boundsOf, IntervalNetwork, intervalLogits } from "../../continual/interval-network.ts";

interface Values {
  readonly embedding_size: number;
  readonly hypernetwork_sizes: readonly number[];
  readonly gamma: number;
  readonly beta: number;
  readonly kappa: number;
  readonly kappa_decay: number;
}

/** Weights that the hypernetwork makes. Throws UserError for a model that is no plain multilayer perceptron. */
function targetsOf({ architecture, json, parameters }: Model): Parameter[] {
  const all = [...parameters.values()];
  const isPlain = architecture.name === "mlp" && (json.hidden_act ?? "relu") === "relu";
  const linear = all.every(
    ({ name, dtype }) => /^(layers\.\d+|classifier)\.(weight|bias)$/.test(name) && dtype === "f32",
  );
  if (isPlain && linear && all.every(({ trainable }) => trainable)) return all;
  throw new UserError(
    `hyperinterval makes the weights of an mlp of linear layers and ReLU that is trained whole in f32, and this ${architecture.name} is another model`,
    "take such an mlp, without norms or another head, and no --freeze, --train-only or --dtype",
  );
}

/** The hypernetwork of a stream, what it made of earlier tasks, and the model that it makes weights for. */
class HyperInterval {
  readonly network: IntervalNetwork;
  /** (T, m). */
  readonly embeddings: Parameter;
  /** Low, middle and high weights of each task, (T, 3, N), as they were after its latest stage. */
  readonly bounds: HostTensor;
  readonly #stream: Stream<Values>;
  readonly #targets: readonly Parameter[];
  readonly #count: number;

  private constructor(stream: Stream<Values>, targets: readonly Parameter[], start: Float32Array) {
    const { gpu, values, tasks, seed } = stream;
    const m = values.embedding_size;
    this.#stream = stream;
    this.#targets = targets;
    this.#count = start.length;
    this.network = new IntervalNetwork(gpu, [m, ...values.hypernetwork_sizes, start.length], start, seed);
    this.embeddings = new Parameter(gpu, "hypernetwork.embeddings", [tasks.length, m]);
    this.embeddings.write(keyedNormals(tasks.length * m, 1, seed, this.embeddings.name));
    const shape = [tasks.length, 3, start.length];
    this.bounds = { name: "bounds", shape, values: new Float32Array(tasks.length * 3 * start.length) };
  }

  static async make(stream: Stream<Values>): Promise<HyperInterval> {
    const targets = targetsOf(stream.model);
    const start = new Float32Array(targets.reduce((total, { size }) => total + size, 0));
    let at = 0;
    for (const { buffer, size } of targets) {
      if (!stream.dry) start.set(await stream.gpu.readFloats(buffer, size), at);
      at += size;
    }
    for (const parameter of targets) parameter.trainable = false; // the hypernetwork writes them
    return new HyperInterval(stream, targets, start);
  }

  get parameters(): readonly Parameter[] {
    return [this.embeddings, ...this.network.parameters];
  }

  /** Half width of a box of embeddings when it is whole. */
  get radius(): number {
    return this.#stream.values.gamma / this.#stream.values.embedding_size;
  }

  /** Boxes of embeddings of some tasks; `ramp`: with the width that they have at this step. */
  #boxes(rec: Recorder, tasks: readonly number[], ramp: boolean): Box {
    const { embedding_size: m, gamma } = this.#stream.values;
    const e = embedding(
      rec,
      rec.constant(Int32Array.from(tasks), [tasks.length], "tasks"),
      rec.parameter(this.embeddings),
    );
    const middle = gamma === 0 ? e : scale(rec, cos(rec, e), gamma / (2 * m));
    const whole = rec.constant(new Float32Array(tasks.length * m).fill(this.radius), [tasks.length, m], "radius");
    return { middle, radius: ramp ? scale(rec, whole, dynamic("interval_ramp")) : whole };
  }

  /** How far the bounds of earlier tasks' weights are from what they were, (1). */
  #drift(rec: Recorder, old: readonly number[]): Tensor {
    const { beta } = this.#stream.values;
    const now = boundsOf(rec, this.network.record(rec, this.#boxes(rec, old, false)));
    const squares = ([now.low, now.middle, now.high] as const).map((values, i) => {
      const kept = new Float32Array(old.length * this.#count);
      for (const [k, task] of old.entries()) kept.set(this.#kept(task, i), k * this.#count);
      return sum(rec, square(rec, sub(rec, values, rec.constant(kept, [old.length, this.#count], "bounds"))));
    });
    return scale(
      rec,
      squares.reduce((a, b) => add(rec, a, b)),
      beta / (3 * old.length * (old.length + 1)),
    );
  }

  #kept(task: number, bound: number): Float32Array {
    const at = (3 * task + bound) * this.#count;
    return this.bounds.values.subarray(at, at + this.#count);
  }

  /** The whole loss of a stage's rows. */
  term({ tasks: [task], old }: Stage): Term {
    const shapes = this.#targets.map(({ shape }) => shape);
    const outputs = this.#stream.model.sizes.outputs;
    return {
      name: "interval",
      weight: 1,
      record: (rec, { inputs }) => {
        if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
        const weights = boundsOf(rec, this.network.record(rec, this.#boxes(rec, [task!], true)));
        const x = rec.reshape(inputs.x, [inputs.batch, shapes[0]![1]!]);
        const { low, middle, high } = intervalLogits(rec, x, weights, shapes);
        const drift = old.length > 0 ? this.#drift(rec, old) : undefined;
        const eye = new Float32Array(outputs * outputs).map((_, i) => (i % (outputs + 1) === 0 ? 1 : 0));
        return {
          along: [low, middle, high],
          rows: (rec, { logits, raw, targets, along: [low, middle, high] }) => {
            const hidden = stopGradient(rec, sub(rec, logits, raw)); // what the scenario adds
            const own = embedding(rec, targets, rec.constant(eye, [outputs, outputs], "classes"));
            const worst = add(rec, high!, mul(rec, own, sub(rec, low!, high!)));
            const loss = (z: Tensor) => crossEntropy(rec, add(rec, z, hidden), targets);
            const both = add(
              rec,
              scale(rec, loss(middle!), dynamic("interval_middle")),
              scale(rec, loss(worst), dynamic("interval_worst")),
            );
            return drift ? add(rec, both, drift) : both;
          },
        };
      },
    };
  }

  /** The centre of a task's box. */
  async centre(task: number): Promise<Float64Array> {
    const { gpu, values } = this.#stream;
    const { embedding_size: m, gamma } = values;
    const all = await gpu.readFloats(this.embeddings.buffer, this.embeddings.size);
    const own = Float64Array.from(all.subarray(task * m, (task + 1) * m));
    return gamma === 0 ? own : own.map((e) => (gamma / (2 * m)) * Math.cos(e));
  }

  /** The middle of what the boxes of these tasks share; with gamma 0 the embedding of the last one. */
  async shared(tasks: readonly number[]): Promise<Float64Array> {
    const centres: Float64Array[] = [];
    for (const task of tasks) centres.push(await this.centre(task));
    if (this.radius === 0) return centres.at(-1)!;
    const at = (i: number) => centres.map((centre) => centre[i]!);
    return centres[0]!.map((_, i) => (Math.max(...at(i)) + Math.min(...at(i))) / 2);
  }

  /** Keeps the bounds of the tasks so far, and gives the model the weights that all of them share. */
  async learned(tasks: readonly number[]): Promise<void> {
    const { gpu } = this.#stream;
    for (const task of tasks) {
      const { middle, radius } = await this.network.onHost(gpu, await this.centre(task), this.radius);
      this.#kept(task, 0).set(middle.map((value, i) => value - radius[i]!));
      this.#kept(task, 1).set(middle);
      this.#kept(task, 2).set(middle.map((value, i) => value + radius[i]!));
    }
    const { middle } = await this.network.onHost(gpu, await this.shared(tasks), 0);
    let at = 0;
    for (const parameter of this.#targets) {
      parameter.write(Float32Array.from(middle.subarray(at, at + parameter.size)));
      at += parameter.size;
    }
  }

  free(): void {
    this.network.free();
    this.embeddings.free();
  }
}

/** Weights of the two losses and the width of boxes, by the step of a task. */
const pace = ({ kappa, kappa_decay }: Values, steps: () => number) => ({
  name: "intervals",
  values(step: number) {
    const middle = Math.max(kappa, 1 - kappa_decay * step);
    const ramp = Math.min(1, (2 * step) / Math.max(1, steps()));
    return { interval_middle: middle, interval_worst: 1 - middle, interval_ramp: ramp };
  },
  state: () => null,
  load() {},
});

export const method = continualMethod({
  name: "hyperinterval",
  title: "HyperInterval",
  about: "a hypernetwork makes an mlp's weights from boxes of embeddings; where boxes meet, weights serve every task",
  cite: "arXiv:2405.15444",
  options: {
    embedding_size: { type: "number.integer >= 1", default: 24, value: "M", help: "numbers of a task's embedding" },
    hypernetwork_sizes: { type: "number[]", default: [100, 100], value: "N", help: "widths of its hidden layers" },
    gamma: { type: "number >= 0", default: 5, help: "sum of the half widths of a box; 0: no intervals" },
    beta: { type: "number >= 0", default: 0.005, help: "weight of what earlier tasks' weights moved" },
    kappa: { type: "0 <= number <= 1", default: 0.5, help: "least weight of the loss in the middle of the box" },
    kappa_decay: { type: "number >= 0", default: 5e-5, help: "by which it falls from 1 at every step" },
  },
  check({ hypernetwork_sizes: sizes }) {
    if (sizes.every((size) => Number.isInteger(size) && size >= 1)) return;
    throw new UserError(
      `--hypernetwork-sizes ${sizes.join(",")}: widths are whole numbers from 1 on`,
      "such as 100,100",
    );
  },
  async begin(stream) {
    const own = await HyperInterval.make(stream);
    return {
      stage(stage) {
        let steps = 1;
        return {
          labels: 0,
          terms: [own.term(stage)],
          extra: own.parameters,
          controllers: [pace(stream.values, () => steps)],
          planned(all) {
            steps = all;
          },
        };
      },
      async learned({ old, tasks }) {
        if (!stream.dry) await own.learned([...old, ...tasks]);
      },
      kept: () => [...own.parameters, own.bounds],
      memory: () => ({ hypernetwork: own.parameters.reduce((total, { bytes }) => total + bytes, 0) }),
      free: () => own.free(),
    };
  },
});
