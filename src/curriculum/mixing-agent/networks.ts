/**
 * Networks of a mixing agent, which know no number and no order of groups: one encoder for every group, the mean over
 * groups, and a head. The policy's head reads a group beside the mean and gives its logit; the critic's reads the mean
 * alone, of encoders that see the share of each group too.
 */
import type { Random } from "../../data/random.ts";
import { softmax } from "../../run/simplex.ts";
import { Mlp, type Pass } from "../../run/small-nets/mlp.ts";

/** Two networks, the second of which reads the mean of what the first makes of every group. */
export interface SetNet {
  readonly encoder: Mlp;
  readonly head: Mlp;
}

export const freshPolicy = (features: number, hidden: number, random: Random): SetNet => ({
  encoder: Mlp.fresh([features, hidden, hidden], random),
  head: Mlp.fresh([2 * hidden, hidden, 1], random, 0.1),
});

export const freshCritic = (features: number, hidden: number, random: Random): SetNet => ({
  encoder: Mlp.fresh([features + 1, hidden, hidden], random),
  head: Mlp.fresh([hidden, hidden, 1], random, 0.1),
});

export const copyOf = ({ encoder, head }: SetNet): SetNet => ({
  encoder: new Mlp(encoder.sizes, encoder.weights.slice()),
  head: new Mlp(head.sizes, head.weights.slice()),
});

/** Gradients of both networks' weights. */
export interface SetGradients {
  readonly encoder: Float64Array;
  readonly head: Float64Array;
}

export const noGradients = ({ encoder, head }: SetNet): SetGradients => ({
  encoder: new Float64Array(encoder.weights.length),
  head: new Float64Array(head.weights.length),
});

interface SetPass {
  /** Sets, and groups of each. */
  readonly sets: number;
  readonly k: number;
  readonly encoded: Pass;
  readonly read: Pass;
  /** (sets k) logits of a policy, (sets) values of a critic. */
  readonly out: Float64Array;
}

/** Mean over groups of what the encoder makes, (sets, H). */
function meansOf(values: Float64Array, sets: number, k: number): Float64Array {
  const width = values.length / (sets * k);
  const means = new Float64Array(sets * width);
  for (const [i, value] of values.entries()) means[Math.floor(i / (k * width)) * width + (i % width)]! += value / k;
  return means;
}

/** Features are (sets, k, F). */
export function policyPass({ encoder, head }: SetNet, features: Float64Array, sets: number, k: number): SetPass {
  const encoded = encoder.forward(features, sets * k);
  const own = encoded.values.at(-1)!;
  const width = own.length / (sets * k);
  const means = meansOf(own, sets, k);
  const joined = new Float64Array(sets * k * 2 * width);
  for (let row = 0; row < sets * k; row++) {
    joined.set(own.subarray(row * width, (row + 1) * width), row * 2 * width);
    const set = Math.floor(row / k);
    joined.set(means.subarray(set * width, (set + 1) * width), (row * 2 + 1) * width);
  }
  const read = head.forward(joined, sets * k);
  return { sets, k, encoded, read, out: read.values.at(-1)! };
}

/** Adds the gradients of the weights for those of the logits, (sets k). */
export function policyBack({ encoder, head }: SetNet, pass: SetPass, gradient: Float64Array, into: SetGradients): void {
  const { sets, k, encoded, read } = pass;
  const joined = head.backward(read, gradient, into.head);
  const width = joined.length / (2 * sets * k);
  const below = new Float64Array(sets * k * width);
  for (let row = 0; row < sets * k; row++) {
    const first = Math.floor(row / k) * k;
    for (let c = 0; c < width; c++) {
      below[row * width + c]! += joined[row * 2 * width + c]!;
      const mean = joined[(row * 2 + 1) * width + c]! / k;
      for (let other = first; other < first + k; other++) below[other * width + c]! += mean;
    }
  }
  encoder.backward(encoded, below, into.encoder);
}

/** Features with the share of each group behind them, (sets, k, F + 1). */
function withShares(features: Float64Array, shares: Float64Array): Float64Array {
  const width = features.length / shares.length;
  const joined = new Float64Array(features.length + shares.length);
  for (let row = 0; row < shares.length; row++) {
    joined.set(features.subarray(row * width, (row + 1) * width), row * (width + 1));
    joined[row * (width + 1) + width] = shares[row]!;
  }
  return joined;
}

/** Features are (sets, k, F), shares (sets, k); one value for each set. */
export function criticPass(
  { encoder, head }: SetNet,
  { features, shares }: { readonly features: Float64Array; readonly shares: Float64Array },
  sets: number,
): SetPass {
  const k = shares.length / sets;
  const encoded = encoder.forward(withShares(features, shares), sets * k);
  const read = head.forward(meansOf(encoded.values.at(-1)!, sets, k), sets);
  return { sets, k, encoded, read, out: read.values.at(-1)! };
}

/** Adds the gradients of the weights, where asked for, for those of the values, (sets); gives those of the shares. */
export function criticBack(
  { encoder, head }: SetNet,
  { sets, k, encoded, read }: SetPass,
  gradient: Float64Array,
  into?: SetGradients,
): Float64Array {
  const means = head.backward(read, gradient, into?.head);
  const width = means.length / sets;
  const below = new Float64Array(sets * k * width);
  for (const i of below.keys()) below[i] = means[Math.floor(i / (k * width)) * width + (i % width)]! / k;
  const inputs = encoder.backward(encoded, below, into?.encoder);
  const each = inputs.length / (sets * k);
  return Float64Array.from({ length: sets * k }, (_, row) => inputs[(row + 1) * each - 1]!);
}

/** Softmax of each set of logits, (sets, k). */
export function sharesFrom(logits: Float64Array, k: number): Float64Array {
  const shares = new Float64Array(logits.length);
  for (let at = 0; at < logits.length; at += k) shares.set(softmax([...logits.subarray(at, at + k)]), at);
  return shares;
}

/** The gradient of logits for that of their softmax. */
export function throughSoftmax(shares: Float64Array, gradient: Float64Array, k: number): Float64Array {
  const below = new Float64Array(shares.length);
  for (let at = 0; at < shares.length; at += k) {
    let mean = 0;
    for (let i = at; i < at + k; i++) mean += shares[i]! * gradient[i]!;
    for (let i = at; i < at + k; i++) below[i] = shares[i]! * (gradient[i]! - mean);
  }
  return below;
}
