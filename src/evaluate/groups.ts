/** Groups of data by their role in an evaluation of unlearning. */
import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import type { ScoredRow } from "../run/scoring/scored-row.ts";

/** Names of the groups by position, and which of them is the one to forget and the one that was never learned. */
export interface Groups {
  readonly groups: readonly string[];
  readonly forget: string;
  readonly holdout: string;
}

/** The rows of the group of a name. */
export const rowsOf = (
  rows: readonly ScoredRow[],
  { groups }: Pick<Groups, "groups">,
  name: string,
): readonly ScoredRow[] => rows.filter(({ group }) => groups[group] === name);

/**
 * Throws UserError unless there is a group of the name. `asker` is what needs it, `flag` the option that names another.
 */
export function requireGroup(name: string, groups: readonly string[], asker: string, flag: string): void {
  if (groups.includes(name)) return;
  throw new UserError(
    `${asker} needs a group named ${name}; the data has ${groups.join(", ")}`,
    `name it, --data ${name}=rows.jsonl, or say which it is: ${flag} ${nearest(name, groups) ?? groups[0]}`,
  );
}
