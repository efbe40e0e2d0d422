/** Groups of data by their role in an evaluation of unlearning. */
import type { GroupReference } from "../../data/groups.ts";
import { sameRows } from "../../data/same-rows.ts";
import { UserError } from "../../errors.ts";
import { nearest } from "../../method/nearest.ts";
import type { ScoredRow } from "../scoring/scored-row.ts";

/** Names of the groups by position, and which of them is the one to forget and the one that was never learned. */
export interface Groups {
  readonly groups: readonly string[];
  readonly forget: string;
  readonly holdout: string;
}

/** Names that groups of rows to keep may have, by their role. */
export const KEPT_GROUPS: Readonly<Record<string, readonly string[]>> = {
  retain: ["retain"],
  real: ["real", "real-people", "real-authors", "real_people", "real_authors"],
  world: ["world", "world-facts", "world_facts"],
};

/** Names that say what their rows are: such a group is not offered in the place of another. */
const TELLING = ["forget", "holdout", ...Object.values(KEPT_GROUPS).flat()];

/** The rows of the group of a name. */
export const rowsOf = (
  rows: readonly ScoredRow[],
  { groups }: Pick<Groups, "groups">,
  name: string,
): readonly ScoredRow[] => rows.filter(({ group }) => groups[group] === name);

/** What names the group that an asker wants. */
export interface GroupChoice {
  readonly asker: string;
  /** The option that names another group. */
  readonly flag: string;
  /** What it wants the group for: one whose name tells another role is not offered. Any group serves when left out. */
  readonly role?: "forget" | "holdout";
  /** Groups with another role, which cannot have this one as well. */
  readonly taken?: readonly string[];
}

/** Throws UserError unless there is a group of the name. */
export function requireGroup(name: string, groups: readonly string[], choice: GroupChoice): void {
  const { asker, flag, role, taken = [] } = choice;
  if (groups.includes(name)) return;
  const tells = (group: string) => role !== undefined && group !== role && TELLING.includes(group);
  const free = groups.filter((group) => !taken.includes(group) && !tells(group));
  const other = nearest(name, free) ?? free[0];
  throw new UserError(
    `${asker} needs a group named ${name}; the data has ${groups.join(", ")}`,
    other === undefined
      ? `add such rows: --data ${name}=rows.jsonl`
      : `name it, --data ${name}=rows.jsonl, or say which it is: ${flag} ${other}`,
  );
}

/**
 * Throws UserError where a metric that compares the group to forget with the one that was never learned would compare
 * rows with themselves, which looks perfect.
 */
export function requireDifferent(
  groups: readonly GroupReference[],
  { forget, holdout }: Pick<Groups, "forget" | "holdout">,
  asker: string,
): void {
  const never = "give rows like those to forget that the model never saw: --data holdout=rows.jsonl";
  if (forget === holdout)
    throw new UserError(
      `${asker} compares two groups, and --forget-group and --holdout-group both name ${forget}`,
      never,
    );
  const [first, second] = [forget, holdout].map((name) => groups.find((group) => group.name === name));
  if (first && second && sameRows(first, second))
    throw new UserError(`${asker} compares two groups, and ${forget} and ${holdout} hold the same rows`, never);
}
