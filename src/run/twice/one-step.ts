/**
 * One step of a student towards what experts see in rows without labels: theta' = theta - rate * d/dtheta of the mean
 * of (F_theta(x) - target)^2 over rows and numbers. Of the weights of the features; the head stays.
 */
import { mean, mul, sub, times } from "../../tensor/twice/ops.ts";
import { gradients, type Value, variable } from "../../tensor/twice/value.ts";
import { type Network, trainable } from "./network.ts";
import type { Weights } from "./pass.ts";

/** Names of the weights that move. */
export const movingNames = (network: Network): string[] =>
  trainable(network).flatMap(({ name }) => (name.startsWith("classifier.") ? [] : [name]));

/**
 * The weights after the step. Gradients go through it into weights and target; with `firstOrder` not through how the
 * slope changes with the weights.
 */
export function oneStep(
  network: Network,
  weights: Weights,
  {
    x,
    target,
    rate,
    firstOrder = false,
  }: { readonly x: Value; readonly target: Value; readonly rate: number; readonly firstOrder?: boolean },
): Weights {
  const names = movingNames(network);
  const from = names.map((name) => {
    const weight = weights.get(name)!;
    return firstOrder || !weight.isFree ? variable(weight.data, weight.shape) : weight;
  });
  const own = new Map([...weights, ...names.map((name, i) => [name, from[i]!] as const)]);
  const apart = sub(network.features(own, x), target);
  const slopes = gradients(mean(mul(apart, apart)), from);
  return new Map([
    ...weights,
    ...names.map((name, i) => [name, sub(weights.get(name)!, times(slopes[i]!, rate))] as const),
  ]);
}
