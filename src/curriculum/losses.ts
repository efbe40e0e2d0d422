/** Held-out losses in the order of the groups of training data. */
import { UserError } from "../errors.ts";
import type { HeldOut } from "../train/held-out.ts";

/** Throws UserError when a group has no held-out rows. */
export function checkHeldOut(held: HeldOut | undefined, names: readonly string[], why: string): HeldOut {
  const known = held?.groups.map(({ name }) => name) ?? [];
  const missing = names.find((name) => !known.includes(name));
  if (held && missing === undefined) return held;
  throw new UserError(
    `${why} needs held-out rows of every group${missing === undefined ? "" : `, and there are none of ${missing}`}`,
    `give --eval-data ${missing ?? names[0]}=held-out.jsonl, named as in --data`,
  );
}

export async function groupLosses(held: HeldOut, names: readonly string[]): Promise<number[]> {
  const losses = await held.losses();
  return names.map((name) => losses.find((group) => group.name === name)?.loss ?? Number.NaN);
}
