/**
 * What each row of a batch weighs in the loss: by tokens, by rows, or first within each group, as in MFTCoder
 * (https://arxiv.org/abs/2311.02303).
 */
import type { TaskLoss } from "./contract.ts";

export interface RowShares {
  readonly taskLoss: TaskLoss;
  /** Group of every row, and how many of its tokens count. */
  readonly groups: Int32Array;
  readonly counted: Float32Array;
  /** Weight of every group; all 1 when left out. */
  readonly weights: readonly number[] | undefined;
}

/**
 * What a batch adds to the denominator of the step's mean. Means within groups are taken by micro-batch, which weigh
 * alike.
 */
export function denominatorOf({ taskLoss, groups, counted, weights }: RowShares): number {
  if (taskLoss.startsWith("task")) return 1;
  const ofRow = (row: number) => (taskLoss === "sample-mean" ? Number(counted[row]! > 0) : counted[row]!);
  return groups.reduce((sum, group, row) => sum + (weights?.[group] ?? 1) * ofRow(row), 0);
}

/** The share of every row, (B): the loss is the sum of share times mean loss over the rows. 0 where no token counts. */
export function rowShares({ taskLoss, groups, counted, weights }: RowShares, total: number): number[] {
  const sumBy = (of: (row: number) => number) => {
    const sums = new Map<number, number>();
    for (const [row, group] of groups.entries()) sums.set(group, (sums.get(group) ?? 0) + of(row));
    return sums;
  };
  const present = sumBy((row) => Number(counted[row]! > 0));
  const tokens = sumBy((row) => counted[row]!);
  const weightOf = (group: number) => (present.get(group)! > 0 ? (weights?.[group] ?? 1) : 0);
  const all = [...present.keys()].sort((a, b) => a - b).reduce((sum, group) => sum + weightOf(group), 0);
  return Array.from(groups, (group, row) => {
    const count = counted[row]!;
    if (count === 0) return 0;
    const weight = weightOf(group);
    if (taskLoss === "task-focal" || taskLoss === "task-sample-mean")
      return weight / (all * present.get(group)! * total);
    if (taskLoss === "task-token-mean") return (weight * count) / (all * tokens.get(group)! * total);
    return (weight * (taskLoss === "sample-mean" ? 1 : count)) / total;
  });
}
