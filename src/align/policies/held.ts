/** What is kept of a rollout for its updates. */

/** An answer of a rollout, as JSON. */
export interface HeldAnswer {
  readonly prompt: number;
  readonly ids: readonly number[];
  /** One for the answer, or one for each token. */
  readonly advantage: number | readonly number[];
  /** Log-probabilities under the policy that sampled, where they are asked for. */
  readonly old?: readonly number[];
  /** Those of the model as it was. */
  readonly reference?: readonly number[];
  /** What the value head foretold at each token, and what followed. */
  readonly estimates?: readonly number[];
  readonly returns?: readonly number[];
  /** What the method says of each token. */
  readonly traits?: readonly number[];
  /** Of a truncated answer that is masked, and of one that fills up the rollout alone. */
  readonly uncounted?: true;
  readonly isFiller?: true;
}

/** A rollout, as JSON. */
export interface HeldRollout {
  /** From 1. */
  readonly number: number;
  readonly epoch: number;
  readonly answers: readonly HeldAnswer[];
  /** What is told of it with every step that it is used in. */
  readonly told: Readonly<Record<string, number>>;
}
