/**
 * A small neural process (Garnelo et al. 2018, https://arxiv.org/abs/1807.01622) that learns a function of a task from values at some
 * tasks: plain loops in float64, gradients by hand.
 *
 *   r = mean_b e(x_b, y_b);  z ~ N(mu(r), sigma(r)), sigma = 0.1 + 0.9 sigmoid;  y' = d(x, z)
 *   loss = mean (y' - y)^2 + beta KL(N(mu, sigma) || prior)
 *
 * e has two hidden layers of `hidden`, d three, with ReLU; mu and sigma are linear in r.
 */
import type { Random } from "../data/random.ts";

export interface Shape {
  /** Values that describe a task. */
  readonly features: number;
  readonly hidden: number;
  /** Values of r, and of z. */
  readonly latent: number;
}

export interface Gaussian {
  readonly mean: number[];
  readonly deviation: number[];
}

export interface Point {
  readonly x: readonly number[];
  readonly y: number;
}

/** Sizes of the layers of encoder, heads and decoder. */
const netsOf = ({ features, hidden, latent }: Shape) => [
  [features + 1, hidden, hidden, latent],
  [latent, 2 * latent],
  [features + latent, hidden, hidden, hidden, 1],
];

const countOf = (sizes: readonly number[]): number =>
  sizes.slice(1).reduce((sum, out, l) => sum + out * (sizes[l]! + 1), 0);

/** A part of the parameters: where it begins, and its layers. */
interface Net {
  readonly at: number;
  readonly sizes: readonly number[];
}

function partsOf(shape: Shape): [Net, Net, Net] {
  const [encoder, head, decoder] = netsOf(shape) as [number[], number[], number[]];
  const headAt = countOf(encoder);
  return [
    { at: 0, sizes: encoder },
    { at: headAt, sizes: head },
    { at: headAt + countOf(head), sizes: decoder },
  ];
}

/** Weights in N(0, 2 / inputs), biases 0. */
export function firstParameters(shape: Shape, random: Random): number[] {
  return netsOf(shape).flatMap((sizes) =>
    sizes.slice(1).flatMap((out, l) => {
      const inputs = sizes[l]!;
      const weights = Array.from({ length: out * inputs }, () => random.normal() * Math.sqrt(2 / inputs));
      return [...weights, ...Array.from({ length: out }, () => 0)];
    }),
  );
}

/** Values of every layer, the input first; ReLU after all but the last. */
function forward(w: readonly number[], { at, sizes }: Net, input: readonly number[]): number[][] {
  const layers = [[...input]];
  let offset = at;
  for (let l = 0; l + 1 < sizes.length; l++) {
    const [inputs, outputs] = [sizes[l]!, sizes[l + 1]!];
    const before = layers[l]!;
    const values: number[] = [];
    for (let o = 0; o < outputs; o++) {
      let sum = w[offset + outputs * inputs + o]!;
      for (let i = 0; i < inputs; i++) sum += w[offset + o * inputs + i]! * before[i]!;
      values.push(l + 2 < sizes.length ? Math.max(0, sum) : sum);
    }
    layers.push(values);
    offset += outputs * (inputs + 1);
  }
  return layers;
}

/** Adds to `gradient` what the output's gradient `last` gives; returns the gradient of the input. */
function backward(
  w: readonly number[],
  gradient: Float64Array,
  { at, sizes }: Net,
  layers: readonly (readonly number[])[],
  last: readonly number[],
): number[] {
  let offset = at + countOf(sizes);
  let out = [...last];
  for (let l = sizes.length - 2; l >= 0; l--) {
    const [inputs, outputs] = [sizes[l]!, sizes[l + 1]!];
    offset -= outputs * (inputs + 1);
    const before = layers[l]!;
    const below = before.map(() => 0);
    for (let o = 0; o < outputs; o++) {
      if (l + 2 < sizes.length && layers[l + 1]![o]! <= 0) continue;
      gradient[offset + outputs * inputs + o]! += out[o]!;
      for (let i = 0; i < inputs; i++) {
        gradient[offset + o * inputs + i]! += out[o]! * before[i]!;
        below[i]! += out[o]! * w[offset + o * inputs + i]!;
      }
    }
    out = below;
  }
  return out;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Loss, its gradient, and the posterior. `noise` holds one standard normal vector per sample of z. */
export function elbo(
  w: readonly number[],
  shape: Shape,
  points: readonly Point[],
  prior: Gaussian,
  noise: readonly (readonly number[])[],
  beta: number,
): { loss: number; gradient: Float64Array; posterior: Gaussian } {
  const { features, latent } = shape;
  const [encoder, head, decoder] = partsOf(shape);
  const gradient = new Float64Array(w.length);
  const axes = Array.from({ length: latent }, (_, i) => i);

  const encoded = points.map(({ x, y }) => forward(w, encoder, [...x, y]));
  const headed = forward(
    w,
    head,
    axes.map((i) => mean(encoded.map((layers) => layers.at(-1)![i]!))),
  );
  const mu = headed[1]!.slice(0, latent);
  const gate = headed[1]!.slice(latent).map((s) => 1 / (1 + Math.exp(-s)));
  const sigma = gate.map((g) => 0.1 + 0.9 * g);

  let loss = 0;
  const muGradient = axes.map(() => 0);
  const sigmaGradient = axes.map(() => 0);
  const share = 1 / (noise.length * points.length);
  for (const epsilon of noise) {
    const z = axes.map((i) => mu[i]! + sigma[i]! * epsilon[i]!);
    for (const { x, y } of points) {
      const layers = forward(w, decoder, [...x, ...z]);
      const error = layers.at(-1)![0]! - y;
      loss += share * error * error;
      const below = backward(w, gradient, decoder, layers, [2 * share * error]);
      for (const i of axes) {
        muGradient[i]! += below[features + i]!;
        sigmaGradient[i]! += below[features + i]! * epsilon[i]!;
      }
    }
  }
  for (const i of axes) {
    const [m, s, m0, s0] = [mu[i]!, sigma[i]!, prior.mean[i]!, prior.deviation[i]!];
    loss += beta * (Math.log(s0 / s) + (s * s + (m - m0) ** 2) / (2 * s0 * s0) - 0.5);
    muGradient[i]! += (beta * (m - m0)) / (s0 * s0);
    sigmaGradient[i]! += beta * (s / (s0 * s0) - 1 / s);
  }
  const gateGradient = sigmaGradient.map((g, i) => g * 0.9 * gate[i]! * (1 - gate[i]!));
  const shared = backward(w, gradient, head, headed, [...muGradient, ...gateGradient]);
  const each = shared.map((g) => g / points.length);
  for (const layers of encoded) backward(w, gradient, encoder, layers, each);
  return { loss, gradient, posterior: { mean: mu, deviation: sigma } };
}

/** y' at a task for one z. */
export function predict(w: readonly number[], shape: Shape, x: readonly number[], z: readonly number[]): number {
  return forward(w, partsOf(shape)[2], [...x, ...z]).at(-1)![0]!;
}
