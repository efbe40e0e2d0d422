/**
 * What a method is that learns a policy from logged decisions: a loss of the policy's probabilities, given how likely
 * the logged actions were and what they brought. The policy is a classifier of numbers whose classes are the actions.
 */
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export interface LoggedGiven<O extends Options = Options> {
  /** (B, actions): probabilities of the policy and their logarithms. */
  readonly probabilities: Tensor;
  readonly logs: Tensor;
  /** (B) each: 1 / propensity and reward of the logged action, and its probability under the policy. */
  readonly inverse: Tensor;
  readonly reward: Tensor;
  readonly taken: Tensor;
  /** (B, actions) and (B): rewards that a model of them expects, of all actions and of the logged one. */
  readonly expected: Tensor;
  readonly expectedTaken: Tensor;
  readonly values: Values<O>;
}

export interface LoggedMethod<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "logged";
  /** (B): value of every row, which is made large; and what is taken off for spread, (1) each. */
  value(
    rec: Recorder,
    given: LoggedGiven<O>,
  ): { readonly values: Tensor; readonly penalties?: Readonly<Record<string, Tensor>> };
}

export const defineLogged = <const O extends Options>(
  method: Omit<LoggedMethod<O>, "kind" | "options"> & { readonly options: O },
) => ({
  kind: "logged" as const,
  ...method,
  options: { ...method.options, ...LOGGED },
});

/** Options of every method that learns from logged decisions. */
export const LOGGED = {
  logged_weights: {
    type: "number[]",
    help: "weights of the numbers in `rewards` of a row; without it rows have one `reward`",
    value: "W",
  },
  value_folds: {
    type: "number.integer >= 1",
    default: 5,
    help: "folds in which the model of rewards is cross-fitted; 1: on all rows",
    value: "K",
  },
  value_ridge: { type: "number > 0", default: 1, help: "penalty of the model of rewards", value: "X" },
} as const satisfies Options;
