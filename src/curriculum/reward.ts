/**
 * Loss progress as the reward of a bandit: how much a group's held-out loss changed over a segment. It takes the place
 * of the mean absolute advantage of reinforcement learning: both are near 0 for what is mastered and for what is out of
 * reach.
 */
import { known } from "./sampler-state.ts";

export const REWARD = {
  type: "'relative' | 'raw'",
  default: "relative",
  help: "change of loss as a share of the largest of all groups (0 to 1), or in nats",
} as const;

/** The laws of a bandit whose reward is the change of losses. */
export const BANDIT_LAWS = {
  keepsEveryGroup: true,
  followsLosses: true,
  anyGroupOrder: true,
  shiftInvariant: true,
  stepZero: "it has no step size",
} as const;

/** |now - before| of every group, NaN where unknown. `relative`: divided by the largest. */
export function lossChanges(before: readonly number[], now: readonly number[], how: "relative" | "raw"): number[] {
  const changes = now.map((loss, i) => Math.abs(loss - (before[i] ?? Number.NaN)));
  const largest = Math.max(0, ...changes.filter(Number.isFinite));
  return how === "relative" && largest > 0 ? changes.map((change) => change / largest) : changes;
}

/**
 * The part of a sampler's state that holds the last known losses; null where a loss is unknown, because JSON has no
 * NaN.
 */
export interface LastLosses {
  losses: (number | null)[];
}

/** Changes of all losses since the last call; remembers the losses that are known now. */
export function rewardsOf(memory: LastLosses, losses: readonly number[], how: "relative" | "raw"): number[] {
  const before = memory.losses.map((loss) => loss ?? Number.NaN);
  memory.losses = known(losses, before, Number.NaN).map((loss) => (Number.isFinite(loss) ? loss : null));
  return lossChanges(before, losses, how);
}
