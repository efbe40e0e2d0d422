/** Models whose outputs are not numbers: they stop what asks them, instead of giving an answer that means nothing. */
import { existsSync } from "node:fs";
import { UserError } from "../errors.ts";
import { quote } from "../text/quote.ts";

/** A model that this run makes has words for a name, and no place from which it could be opened. */
const isMade = (ref: string): boolean => ref.includes(" ") && !/[/\\+]/.test(ref) && !existsSync(ref);

/** What finds weights that are not finite. */
const search = (ref: string): string =>
  isMade(ref)
    ? "bun run inspect --check, of each model that it is made of, names weights that are not"
    : `bun run inspect ${quote(ref)} --check names weights that are not`;

/** What to say of a model (`ref`) and of what it was given (`place`, as "rows.jsonl:3"). Exit code 1. */
export const notFinite = (ref: string, place: string): UserError =>
  new UserError(
    `${ref}: the logits of ${place} are not finite`,
    `${search(ref)}; where all are finite, --dtype f32 may help`,
    1,
  );

/** Whether logits give probabilities: none is NaN or +Infinity, and one at least is above -Infinity. */
export function hasProbabilities(logits: Float32Array): boolean {
  let largest = Number.NEGATIVE_INFINITY;
  for (const x of logits) {
    if (Number.isNaN(x)) return false;
    if (x > largest) largest = x;
  }
  return Number.isFinite(largest);
}
