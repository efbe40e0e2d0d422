/**
 * Steps of gradient descent on synthetic rows as values: what the weights become is a function of the rows and of the
 * rate, and gradients go back through all steps.
 */
import type { Network } from "../../run/twice/network.ts";
import type { Weights } from "../../run/twice/pass.ts";
import { add, crossEntropy, oneHot, scaledBy, sub, takeRows, times } from "../../tensor/twice/ops.ts";
import { gradients, type Value, variable } from "../../tensor/twice/value.ts";
import { weightsWith } from "./experts.ts";

export interface Unrolled {
  readonly network: Network;
  /** Those that do not learn. */
  readonly rest: Weights;
  /** (m, inputs) */
  readonly x: Value;
  readonly labels: readonly number[];
  /** The learning rate, of shape (1). */
  readonly rate: Value;
  readonly steps: number;
  readonly momentum: number;
  /** Factor of the loss. */
  readonly factor: number;
  /** The rows of a step. */
  picked(step: number): readonly number[];
}

/**
 * The weights after every step from `start`, the first of them `start` itself. Each step is theta - rate (momentum v +
 * gradient), with v what it was at the step before.
 */
export function unrolled(start: readonly Value[], given: Unrolled): Value[][] {
  const { network, rest, x, labels, rate, steps, momentum, factor } = given;
  // Gradients are by values that take one; a first step from plain numbers needs its own.
  let weights = start.map((w) => (w.isFree ? w : variable(w.data, w.shape)));
  let speeds: Value[] | undefined;
  const all = [weights];
  for (let step = 0; step < steps; step++) {
    const rows = given.picked(step);
    const targets = oneHot(
      rows.map((row) => labels[row]!),
      network.classes,
    );
    const logits = network.logits(weightsWith(network, weights, rest), takeRows(x, rows), { norms: "batch" });
    const slopes = gradients(times(crossEntropy(logits, targets), factor), weights);
    const before: readonly Value[] | undefined = speeds;
    speeds = before && momentum > 0 ? slopes.map((g, i) => add(g, times(before[i]!, momentum))) : slopes;
    const moves: readonly Value[] = speeds;
    weights = weights.map((w, i) => sub(w, scaledBy(moves[i]!, rate)));
    all.push(weights);
  }
  return all;
}

/** Numbers that learn by gradient descent with momentum 0.5, as rows and rates of trajectory matching do. */
export class Learnt {
  readonly data: Float64Array;
  readonly shape: readonly number[];
  readonly #rate: number;
  readonly #speed: Float64Array;

  constructor(data: Float64Array, shape: readonly number[], rate: number) {
    this.data = data;
    this.shape = shape;
    this.#rate = rate;
    this.#speed = new Float64Array(data.length);
  }

  /** As a value that takes a gradient; it keeps the numbers as they are now. */
  value(): Value {
    return variable(this.data.slice(), this.shape);
  }

  against({ data }: Value): void {
    for (let i = 0; i < data.length; i++) {
      this.#speed[i] = 0.5 * this.#speed[i]! + data[i]!;
      this.data[i]! -= this.#rate * this.#speed[i]!;
    }
  }
}
