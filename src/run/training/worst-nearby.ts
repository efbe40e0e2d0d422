/**
 * The gradient from the worst place nearby, as far as one step uphill tells it: what sharpness-aware rules share. Foret
 * et al. 2020, https://arxiv.org/abs/2010.01412
 */
import type { Perturbation } from "./perturbation.ts";
import type { Pass } from "./update-rule.ts";

/**
 * Leaves the gradient at the place that `walk` goes to in the gradients, and the weights as they were; the gradient
 * where they are for a radius of 0. `weights` keeps "weights".
 */
export async function worstNearby(
  weights: Perturbation,
  pass: Pass,
  radius: number,
  walk: () => Promise<void>,
): Promise<void> {
  await pass({ fresh: true, report: true });
  if (radius === 0) return;
  weights.save();
  await walk();
  await pass({ fresh: true, report: false });
  weights.restore();
}
