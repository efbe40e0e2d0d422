/** How far the mean outputs of groups are from those of all rows that they are among. */
import { UserError } from "../../errors.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";

/** What all metrics of such gaps have in common. */
export const GAP = {
  options: {},
  task: "classifier",
  needs: "probabilities",
  across: true,
  range: [0, 1],
  better: "lower",
} as const;

/** (C): mean probabilities of rows. */
function means(rows: readonly ScoredRow[]): number[] {
  const { length = 0 } = rows[0]?.probabilities ?? {};
  return Array.from(
    { length },
    (_, c) => rows.reduce((sum, { probabilities }) => sum + probabilities![c]!, 0) / rows.length,
  );
}

/** max over groups and classes of |mean of the group - mean of all|; NaN without rows. */
export function outputGap(rows: readonly ScoredRow[]): number {
  if (rows.length === 0) return Number.NaN;
  const all = means(rows);
  const gaps = [...Map.groupBy(rows, ({ group }) => group).values()].flatMap((own) =>
    means(own).map((mean, c) => Math.abs(mean - all[c]!)),
  );
  return Math.max(...gaps);
}

/** Refuses a single group, to which nothing is compared. */
export const expectGroups =
  (metric: string) =>
  (groups: readonly string[]): void => {
    if (groups.length < 2)
      throw new UserError(`--metric ${metric} compares groups, and there is one`, "give --data name=path for each");
  };
