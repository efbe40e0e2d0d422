/** What losses of preferences are made of: how likely the model and the reference find answers. */
import type { Tensor } from "../../tensor/tensor.ts";

/** Log-likelihoods of P answers, in nats. */
export interface Likelihoods {
  /** (P, T): of every token of the answer, 0 elsewhere. */
  readonly tokens: Tensor;
  /** (P): sums over the tokens of the answer. */
  readonly sums: Tensor;
  /** (P): means over the tokens of the answer. */
  readonly means: Tensor;
}

/** P answers: what the model says of them, and what the reference said. */
export interface Answers extends Likelihoods {
  /** (P): tokens of each answer. */
  readonly lengths: Tensor;
  /** Likelihoods under the reference, without gradient. Of a method that says `reference`. */
  readonly reference: Likelihoods;
  /**
   * (P, T): -log probability of every token under the squared distribution, p^2 normalised, without gradient: what
   * WPO's weights are made of. Runs the model's head once more.
   */
  squaredNll(): Tensor;
}
