/**
 * A conditional variational autoencoder of rows of numbers: what a row is like beside its condition goes through a few
 * latent numbers. Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; Sohn et al., NeurIPS 2015.
 *
 *   encoder   convolutions in one dimension, then (m, log v) of what they say with the condition
 *   decoder   latent numbers with the condition, then convolutions the other way
 *
 * Every convolution halves the length, with a kernel as wide as its stride, 2: neighbours never share an input, so it
 * is a matrix over pairs, and its reverse a matrix that makes pairs. SiLU between layers.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { silu } from "../../tensor/ops/activation.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { add, exp, mul, scale, square, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { sum } from "../../tensor/ops/reduce.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const STRIDE = 2;

/** Sizes of a network. */
export interface LatentSizes {
  /** Numbers of a row. */
  readonly count: number;
  /** Numbers of a condition. */
  readonly condition: number;
  readonly latent: number;
  /** Channels of every convolution of the encoder, from the row on. */
  readonly channels: readonly number[];
}

/** Numbers of a row with the zeros behind it that make it as long as the convolutions take. */
export const paddedWidth = ({ count, channels }: Pick<LatentSizes, "count" | "channels">): number =>
  Math.ceil(count / STRIDE ** channels.length) * STRIDE ** channels.length;

/** Names and shapes (out, in) of its matrices, each with a bias. */
function shapesOf(sizes: LatentSizes): { name: string; out: number; into: number }[] {
  const { condition, latent, channels } = sizes;
  const widths = [1, ...channels];
  const inner = (paddedWidth(sizes) / STRIDE ** channels.length) * channels.at(-1)!;
  return [
    ...channels.map((out, i) => ({ name: `encoder.${i}`, out, into: STRIDE * widths[i]! })),
    { name: "encoder.latent", out: 2 * latent, into: inner + condition },
    { name: "decoder.latent", out: inner, into: latent + condition },
    ...channels.map((into, i) => ({ name: `decoder.${i}`, out: STRIDE * widths[i]!, into })).reverse(),
  ];
}

/** How many numbers a network of these sizes learns. */
export const weightsOf = (sizes: LatentSizes): number =>
  shapesOf(sizes).reduce((total, { out, into }) => total + out * (into + 1), 0);

/** Means and logarithms of variances of the latent numbers, (rows, latent) each. */
export interface Latent {
  readonly mean: Tensor;
  readonly logVariance: Tensor;
}

export class LatentNetwork {
  readonly sizes: LatentSizes;
  /** Width of a row with its zeros. */
  readonly width: number;
  readonly #layers: ReadonlyMap<string, { readonly weight: Parameter; readonly bias: Parameter }>;

  /** Values are drawn by (seed, name). */
  constructor(gpu: Gpu, sizes: LatentSizes, seed: number) {
    this.sizes = sizes;
    this.width = paddedWidth(sizes);
    this.#layers = new Map(
      shapesOf(sizes).map(({ name, out, into }) => {
        const weight = new Parameter(gpu, `fvae.${name}.weight`, [out, into]);
        const bias = new Parameter(gpu, `fvae.${name}.bias`, [out]);
        if (!gpu.dry) {
          weight.write(keyedNormals(out * into, 1 / Math.sqrt(into), seed, weight.name));
          bias.write(new Float32Array(out));
        }
        return [name, { weight, bias }];
      }),
    );
  }

  get parameters(): Parameter[] {
    return [...this.#layers.values()].flatMap(({ weight, bias }) => [weight, bias]);
  }

  #apply(rec: Recorder, name: string, x: Tensor, held: boolean): Tensor {
    const { weight, bias } = this.#layers.get(name)!;
    const of = (parameter: Parameter) =>
      held ? stopGradient(rec, rec.parameter(parameter)) : rec.parameter(parameter);
    return linear(rec, x, of(weight), { bias: of(bias) });
  }

  /** Rows (B, width) with conditions (B, d). `held`: no gradient goes to the network's own weights. */
  encode(rec: Recorder, rows: Tensor, condition: Tensor, held = false): Latent {
    const { channels, latent } = this.sizes;
    const batch = rows.shape[0]!;
    let x = rows;
    for (const [i, out] of channels.entries()) {
      const into = STRIDE * (i === 0 ? 1 : channels[i - 1]!);
      x = rec.reshape(x, [x.shape.reduce((a, b) => a * b) / into, into]); // a row of each pair of neighbours
      x = silu(rec, this.#apply(rec, `encoder.${i}`, x, held)); // (B length, out)
      x = rec.reshape(x, [batch, (x.shape[0]! / batch) * out]);
    }
    const both = this.#apply(rec, "encoder.latent", joinColumns(rec, [x, condition]), held);
    const [mean, logVariance] = splitColumns(rec, both, [latent, latent]);
    return { mean: mean!, logVariance: logVariance! };
  }

  /** Latent numbers (B, latent) with conditions (B, d) -> rows (B, width). */
  decode(rec: Recorder, z: Tensor, condition: Tensor, held = false): Tensor {
    const { channels } = this.sizes;
    const batch = z.shape[0]!;
    let x = this.#apply(rec, "decoder.latent", joinColumns(rec, [z, condition]), held);
    for (let i = channels.length - 1; i >= 0; i--) {
      x = silu(rec, x);
      x = rec.reshape(x, [(batch * x.shape[1]!) / channels[i]!, channels[i]!]);
      x = this.#apply(rec, `decoder.${i}`, x, held);
      x = rec.reshape(x, [batch, (x.shape[0]! / batch) * x.shape[1]!]);
    }
    return x;
  }

  /**
   * Mean squared error of rows that went through, and `weight` times the divergence of the latent numbers from normal
   * ones, (1) each. `noise`: (B, latent) normal numbers.
   */
  losses(
    rec: Recorder,
    rows: Tensor,
    { condition, noise, weight }: { readonly condition: Tensor; readonly noise: Tensor; readonly weight: number },
  ): { readonly error: Tensor; readonly divergence: Tensor } {
    const batch = rows.shape[0]!;
    const { mean, logVariance } = this.encode(rec, rows, condition);
    const z = add(rec, mean, mul(rec, noise, exp(rec, scale(rec, logVariance, 0.5))));
    const made = this.decode(rec, z, condition);
    const error = scale(rec, sum(rec, square(rec, sub(rec, made, rows))), 1 / (batch * this.sizes.count));
    // -1/2 sum (1 + log v - m^2 - v)
    const far = sub(rec, add(rec, square(rec, mean), exp(rec, logVariance)), logVariance);
    const divergence = scale(rec, sum(rec, far), weight / (2 * batch));
    return { error, divergence };
  }

  free(): void {
    for (const parameter of this.parameters) parameter.free();
  }
}
