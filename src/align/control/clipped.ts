/**
 * The clipped surrogate of proximal policy optimisation, for actions that an older policy drew.
 *
 *   raise mean min(rho A, clip(rho, 1 - eps, 1 + eps) A) + entropy H(pi),  rho = pi(a | s) / pi_old(a | s)
 *
 * Schulman et al., Proximal Policy Optimization Algorithms, 2017, https://arxiv.org/abs/1707.06347
 */
import type { Action } from "../../data/worlds/world.ts";
import type { Policy } from "./policy.ts";

/** Actions in states, with what the older policy gave them. */
export interface Taken {
  readonly states: Float64Array;
  readonly rows: number;
  readonly actions: readonly Action[];
  /** ln pi_old(a | s) */
  readonly logs: Float64Array;
  readonly advantages: Float64Array;
}

/** Less their mean, over their deviation. */
export function whitened(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  return values.map((x) => (x - mean) / (Math.sqrt(variance) + 1e-8));
}

/** One update. Where the ratio has left the range on the side that the advantage asks for, there is no gradient. */
export function raiseClipped(policy: Policy, taken: Taken, clip: number, entropy = 0): void {
  const { head } = policy;
  policy.raise(taken.states, taken.rows, (row, out, into) => {
    const action = taken.actions[row]!;
    const ratio = Math.exp(head.logProbability(out, action) - taken.logs[row]!);
    const gain = taken.advantages[row]!;
    const isClipped = gain > 0 ? ratio > 1 + clip : ratio < 1 - clip;
    if (!isClipped) head.addLogGradient(out, action, ratio * gain, into);
    if (entropy > 0) head.addEntropyGradient(out, entropy, into);
  });
}
