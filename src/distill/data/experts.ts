/**
 * Experts of trajectory matching: networks that learn the real rows, whose weights are kept after every epoch.
 *
 * Of ast are the factor of the loss in the first epochs, which lets them begin slowly, and the penalty
 *
 *   2 mean (|d sum_c z_c / dx| - 1)^2
 *
 * with the norm over the channels of a place, or over a vector: both make the path smooth.
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import { freshWeights, type Network, trainable } from "../../run/twice/network.ts";
import type { Weights } from "../../run/twice/pass.ts";
import { add, crossEntropy, mean, mul, oneHot, power, shift, sum, sumOver, times } from "../../tensor/twice/ops.ts";
import { constant, gradients, type Value, variable } from "../../tensor/twice/value.ts";
import type { RealRows } from "./contract.ts";

export const EXPERTS = {
  experts: { type: "number.integer >= 1", default: 4, help: "networks that learn the real rows", value: "N" },
  expert_epochs: {
    type: "number.integer >= 2",
    default: 20,
    help: "epochs of each, after which its weights are kept",
    value: "N",
  },
  expert_lr: { type: "number > 0", default: 0.01, help: "its learning rate; x 0.6 from the middle on", value: "RATE" },
  expert_batch: { type: "number.integer >= 1", default: 32, help: "rows of a step", value: "N" },
  expert_momentum: { type: "0 <= number < 1", default: 0.9, help: "momentum of its gradient descent", value: "M" },
  expert_decay: { type: "number >= 0", default: 1e-3, help: "its weight decay", value: "D" },
} as const satisfies Options;

/** What makes a path smooth. */
export interface Smoothing {
  /** Factor of the loss in an epoch, from 0. */
  readonly factor?: (epoch: number) => number;
  /** Weight of the penalty; 0: none. */
  readonly penalty?: number;
}

/** Weights that learn, in the order of `trainable`, after each epoch; the first are those before any. */
export type Path = readonly (readonly Float64Array[])[];

/** The weights of a network by name: those that learn, in order, and the others as `rest` has them. */
export const weightsWith = (network: Network, learning: readonly Value[], rest: Weights): Weights =>
  new Map([...rest, ...trainable(network).map(({ name }, i) => [name, learning[i]!] as const)]);

/** Rows of `rows` as values. */
export function batchOf({ x, labels }: RealRows, picked: readonly number[], { inputs, classes }: Network) {
  const numbers = new Float64Array(picked.length * inputs);
  for (const [i, row] of picked.entries()) numbers.set(x.subarray(row * inputs, (row + 1) * inputs), i * inputs);
  return {
    x: numbers,
    targets: oneHot(
      picked.map((row) => labels[row]!),
      classes,
    ),
  };
}

/** The penalty of logits (n, classes) by the rows x that they were computed from. */
function penaltyOf(network: Network, logits: Value, x: Value): Value {
  const slope = gradients(sum(logits), [x])[0]!; // (n, inputs)
  const n = x.shape[0]!;
  const channels = network.image?.channels ?? network.inputs;
  const places = network.inputs / channels;
  const norms = power(shift(sumOver(mul(slope, slope), [n, channels, places], [n * places]), 1e-12), 0.5);
  const apart = shift(norms, -1);
  return times(mean(mul(apart, apart)), 2);
}

/** Trains one expert, from weights of (seed, its number). */
export function expertPath(
  network: Network,
  rows: RealRows,
  values: Values<typeof EXPERTS>,
  given: Smoothing & { readonly seed: number; readonly expert: number; readonly signal: AbortSignal },
): Path {
  const { expert_epochs: epochs, expert_lr: lr, expert_batch: batch } = values;
  const rest = freshWeights(network, new Random(given.seed, "expert", given.expert).word());
  let weights = trainable(network).map(({ name }) => rest.get(name)!.data.slice());
  const shapes = trainable(network).map(({ shape }) => shape);
  const speeds = weights.map((w) => new Float64Array(w.length));
  const path: Float64Array[][] = [weights];
  for (let epoch = 0; epoch < epochs; epoch++) {
    weights = weights.map((w) => w.slice());
    const rate = epoch >= epochs / 2 ? 0.6 * lr : lr;
    const order = new Random(given.seed, "expert", given.expert, "order", epoch).shuffled([...rows.labels.keys()]);
    for (let at = 0; at < order.length; at += batch) {
      given.signal.throwIfAborted();
      const { x, targets } = batchOf(rows, order.slice(at, at + batch), network);
      const seen = (given.penalty ? variable : constant)(x, [x.length / network.inputs, network.inputs]);
      const learning = weights.map((w, i) => variable(w, shapes[i]!));
      const logits = network.logits(weightsWith(network, learning, rest), seen, { norms: "batch" });
      const loss = times(crossEntropy(logits, targets), given.factor?.(epoch) ?? 1);
      const whole = given.penalty ? add(loss, times(penaltyOf(network, logits, seen), given.penalty)) : loss;
      for (const [i, { data }] of gradients(whole, learning, { once: true }).entries()) {
        const [w, v] = [weights[i]!, speeds[i]!];
        for (let j = 0; j < w.length; j++) {
          v[j] = values.expert_momentum * v[j]! + data[j]! + values.expert_decay * w[j]!;
          w[j]! -= rate * v[j]!;
        }
      }
    }
    if (!weights.every((w) => w.every(Number.isFinite)))
      throw new UserError(
        `expert ${given.expert + 1} went beyond every number in epoch ${epoch + 1}`,
        `a smaller --expert-lr than ${lr} keeps it in bounds`,
        1,
      );
    path.push(weights);
  }
  return path;
}
