/**
 * A mixture of tasks in the latent space, and the adapter that it is decoded to: shares w of the tasks, the softmax of
 * free numbers, and a shift of the latent numbers from where the shares put them.
 *
 *   z = sum_t w_t m(adapter_t) + shift,   c = sum_t w_t c_t,   adapter = mean + deviation decode(z, c)
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { add, mul, stopGradient } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { LatentNetwork } from "./latent-network.ts";
import type { Spread } from "./snapshots.ts";

/** A share of 0 is this, which adds nothing to a sum in f32. */
const NOTHING = 1e-30;

export interface MixtureOptions {
  readonly network: LatentNetwork;
  /** By task, (T, d). */
  readonly conditions: Float32Array;
  /** Shares that every mixture begins with: not negative, of sum 1. */
  readonly shares: readonly number[];
  readonly spread: Spread;
}

/** Of what the gradients of a recording are: of the mixture, or of the network. */
export type Learnt = "mixture" | "network" | "nothing";

export class Mixture {
  /** (1, T) */
  readonly logits: Parameter;
  /** (1, latent) */
  readonly shift: Parameter;
  readonly #gpu: Gpu;
  readonly #options: MixtureOptions;
  /** What does not change: conditions of the tasks (T, d), mean and deviation of every number (1, n). */
  readonly #held: Readonly<Record<"conditions" | "mean" | "deviation", Parameter>>;

  constructor(gpu: Gpu, options: MixtureOptions) {
    this.#gpu = gpu;
    this.#options = options;
    const { latent, condition, count } = options.network.sizes;
    this.logits = new Parameter(gpu, "mixture.logits", [1, options.shares.length]);
    this.shift = new Parameter(gpu, "mixture.shift", [1, latent]);
    const held = (name: string, shape: readonly number[], values: Float32Array) => {
      const parameter = new Parameter(gpu, `mixture.${name}`, shape, "f32", false);
      if (!gpu.dry) parameter.write(values);
      return parameter;
    };
    this.#held = {
      conditions: held("conditions", [options.shares.length, condition], options.conditions),
      mean: held("mean", [1, count], options.spread.mean),
      deviation: held("deviation", [1, count], options.spread.deviation),
    };
    this.begin();
  }

  get parameters(): Parameter[] {
    return [this.logits, this.shift];
  }

  /** These shares and no shift. */
  begin(shares: readonly number[] = this.#options.shares): void {
    if (this.#gpu.dry) return;
    this.logits.write(Float32Array.from(shares, (share) => Math.log(Math.max(share, NOTHING))));
    this.shift.write(new Float32Array(this.shift.size));
  }

  /** The shares as they are now. */
  async shares(): Promise<number[]> {
    const logits = await this.#gpu.readFloats(this.logits.buffer, this.logits.size);
    const most = logits.reduce((a, b) => Math.max(a, b));
    const powers = Array.from(logits, (logit) => Math.exp(logit - most));
    const total = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / total);
  }

  /** The numbers of the adapter, (1, n). `anchors`: the adapter of every task as the network reads it, (T, width). */
  record(rec: Recorder, anchors: Tensor, learnt: Learnt): Tensor {
    const { network } = this.#options;
    const { count } = network.sizes;
    const held = learnt !== "network";
    const own = (parameter: Parameter) =>
      learnt === "mixture" ? rec.parameter(parameter) : stopGradient(rec, rec.parameter(parameter));
    const { conditions, mean: centre, deviation } = this.#held;
    const c = rec.parameter(conditions);
    const w = softmax(rec, own(this.logits)); // (1, T)
    const { mean } = network.encode(rec, anchors, c, held); // (T, latent)
    const z = add(rec, linear(rec, w, mean, { transposed: true }), own(this.shift)); // (1, latent)
    const made = network.decode(rec, z, linear(rec, w, c, { transposed: true }), held); // (1, width)
    const [numbers] = count === network.width ? [made] : splitColumns(rec, made, [count, network.width - count]);
    return add(rec, mul(rec, numbers!, rec.parameter(deviation)), rec.parameter(centre));
  }

  free(): void {
    for (const parameter of [...this.parameters, ...Object.values(this.#held)]) parameter.free();
  }
}
