/**
 * What the outputs of a policy's network mean: a distribution of actions. Gradients are those of one row, (outputs).
 * An action is encoded as a critic reads it: one-hot, or values over their bound.
 */
import type { Random } from "../../data/random.ts";
import type { Action } from "../../data/worlds/world.ts";

type Row = Float64Array;

export interface Head {
  /** Outputs of the network. */
  readonly outputs: number;
  /** Values of an encoded action. */
  readonly width: number;
  encode(action: Action): readonly number[];
  sample(out: Row, random: Random): Action;
  /** The likeliest action; of a squashed Gaussian, that of its mean. */
  mode(out: Row): Action;
  logProbability(out: Row, action: Action): number;
  /** Adds `factor` times the gradient of the log-probability to `into`. */
  addLogGradient(out: Row, action: Action, factor: number, into: Row): void;
  /** In nats; of a squashed Gaussian, before it is squashed. */
  entropy(out: Row): number;
  addEntropyGradient(out: Row, factor: number, into: Row): void;
  /** KL(out || other). */
  divergence(out: Row, other: Row): number;
  addDivergenceGradient(out: Row, other: Row, factor: number, into: Row): void;
  /**
   * What a critic expects of the policy, and its gradient by the outputs: the mean over all actions where they are few,
   * else one draw that is differentiated through. `critic` takes encoded actions, (count, width), and gives values and
   * their gradients by the actions, (count, width).
   */
  expected(out: Row, critic: Judge, random: Random): { value: number; gradient: Row };
}

export type Judge = (actions: Float64Array, count: number) => { values: Float64Array; gradients: Float64Array };
