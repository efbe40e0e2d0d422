/** Held-out losses in the order of the groups of training data. */
import { UserError } from "../errors.ts";
import type { HeldOutLosses } from "../run/training/held-out.ts";

type Named = readonly { readonly name: string }[];

/** Throws UserError when a group has no held-out rows. */
export function checkHeldOut<H extends HeldOutLosses>(held: H | undefined, names: readonly string[], why: string): H {
  checkHeldOutNames(held?.groups ?? [], names, why);
  return held!; // there is a group, and it is held out
}

/** The same of groups that have not been read. */
export function checkHeldOutNames(known: Named, names: readonly string[], why: string): void {
  const missing = names.find((wanted) => !known.some(({ name }) => name === wanted));
  if (missing === undefined) return;
  throw new UserError(
    `${why} needs held-out rows of every group, and there are none of ${missing}`,
    `give --eval-data ${missing}=held-out.jsonl, named as in --data, or hold rows out with --eval-split 0.1`,
  );
}

export async function groupLosses(held: HeldOutLosses, names: readonly string[]): Promise<number[]> {
  const losses = await held.losses();
  return names.map((name) => losses.find((group) => group.name === name)?.loss ?? Number.NaN);
}

/** Throws UserError (exit 1), naming the group, for a loss that is no number. `of` is whose losses they are. */
export function checkFinite(losses: readonly number[], names: readonly string[], of: string, hint: string): void {
  const odd = losses.findIndex((loss) => !Number.isFinite(loss));
  if (odd >= 0) throw new UserError(`${of}: the held-out loss of the group ${names[odd]} is ${losses[odd]}`, hint, 1);
}
