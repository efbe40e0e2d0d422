/**
 * Loss progress as the pay-off of a bandit: how much a group's held-out loss changed over a segment. It stands where reinforcement
 * learning has the mean absolute advantage: both are near 0 for what is mastered and for what is out of reach.
 */

export const REWARD = {
  type: "'relative' | 'raw'",
  default: "relative",
  help: "change of loss as a share of the largest of all groups (0 to 1), or in nats",
} as const;

/** |now - before| of every group, NaN where unknown. `relative`: divided by the largest. */
export function lossChanges(before: readonly number[], now: readonly number[], how: "relative" | "raw"): number[] {
  const changes = now.map((loss, i) => Math.abs(loss - (before[i] ?? Number.NaN)));
  const largest = Math.max(0, ...changes.filter(Number.isFinite));
  return how === "relative" && largest > 0 ? changes.map((change) => change / largest) : changes;
}
