/** The attack or the probe that was chosen. */
import { UserError } from "../errors.ts";
import type { Picks } from "../method/picks.ts";
import type { EVALUATE } from "./options.ts";
import type { Technique } from "./technique.ts";

export interface ChosenTechnique {
  readonly kind: "attack" | "probe";
  readonly technique: Technique;
  /** Any technique takes them as its own. */
  readonly values: never;
}

/** What `--attack` or `--probe` names. Throws UserError for both at once, and for a technique that makes no use of `--original`. */
export function chosenTechnique(
  { attack: [attack], probe: [probe] }: Pick<Picks<typeof EVALUATE>, "attack" | "probe">,
  original: string | undefined,
): ChosenTechnique | undefined {
  if (attack && probe) throw new UserError("--attack and --probe are both given", "run them apart, one evaluate each");
  const bound = attack ?? probe;
  if (!bound) return undefined;
  const { method: technique, values } = bound;
  if (original !== undefined && !technique.usesOriginal)
    throw new UserError(
      `--original has no effect with --probe ${technique.name}`,
      "leave it out; a model to compare with is one more argument, or --gold",
    );
  return { kind: attack ? "attack" : "probe", technique, values };
}
