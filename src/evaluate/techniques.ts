/** The chosen attack or probe. */
import { type GroupReference, groupsOf } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { flagOf } from "../method/options.ts";
import type { Picks } from "../method/picks.ts";
import type { EVALUATE, EvaluateOptions } from "./options.ts";
import type { Technique } from "./technique.ts";

export interface ChosenTechnique {
  readonly kind: "attack" | "probe";
  readonly technique: Technique;
  readonly values: Bound["values"];
}

/** What `--attack` or `--probe` names. Throws UserError for both at once. */
export function chosenTechnique({
  attack: [attack],
  probe: [probe],
}: Pick<Picks<typeof EVALUATE>, "attack" | "probe">): ChosenTechnique | undefined {
  if (attack && probe) throw new UserError("--attack and --probe are both given", "run them apart, one evaluate each");
  const bound = attack ?? probe;
  return bound && { kind: attack ? "attack" : "probe", technique: bound.method, values: bound.values };
}

/** The groups of --data. Throws UserError where there are none, or some that a technique has no use for. */
export function groupsFor(
  chosen: ChosenTechnique | undefined,
  { data, columns }: Pick<EvaluateOptions, "data" | "columns">,
): GroupReference[] {
  if (!chosen?.technique.ownRows) return groupsOf(data, "--data", columns);
  if (!data?.length) return [];
  throw new UserError(
    `--data has no effect with --${chosen.kind} ${chosen.technique.name}, which makes its own rows`,
    "leave it out",
  );
}

/** Files that options of the technique name for it to write. */
export const filesOf = (chosen: ChosenTechnique | undefined): { readonly flag: string; readonly path: string }[] =>
  Object.entries(chosen?.technique.options ?? {}).flatMap(([name, { writes }]) => {
    const path = chosen!.values[name];
    return writes && typeof path === "string" ? [{ flag: flagOf(name), path }] : [];
  });
