/**
 * Which weights on the way are best, by what is forgotten and what is kept together: minus the logarithm of
 *
 *   (1 - exp(-L_forget)) x exp(-mean of the other groups' L)
 *
 * L the held-out loss of a group, so that its exponential is the geometric mean of the tokens' probabilities. A model
 * that has forgotten all and lost all is as bad as one that has forgotten nothing.
 */
import { parseGroups } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import type { Judge } from "../run/training/held-out-watch.ts";
import type { UnlearnRun } from "./run.ts";

/** The group of --eval-data that is to be forgotten. */
const FORGET = "forget";

export const forgetUtility: Judge = (losses) => {
  const kept = losses.filter(({ name }) => name !== FORGET);
  const gone = losses.find(({ name }) => name === FORGET)!;
  const utility = kept.reduce((sum, { loss }) => sum + loss, 0) / kept.length;
  return -Math.log(-Math.expm1(-gone.loss)) + utility;
};

/** Undefined where the loss alone decides. Throws UserError for groups that do not serve. */
export function judgeOf({ best_by, eval_data, best, patience }: UnlearnRun["options"]): Judge | undefined {
  if (best_by === "loss") return undefined;
  const names = parseGroups(eval_data ?? [], undefined, "--eval-data").map(({ name }) => name);
  if (best === undefined && patience === undefined)
    throw new UserError("--best-by says what --best and --patience go by, and neither is given", "add --best DIR");
  if (!names.includes(FORGET) || names.length < 2)
    throw new UserError(
      `--best-by forget-utility needs rows to forget and others; --eval-data has ${names.join(", ") || "none"}`,
      "name them: --eval-data forget=FILE --eval-data retain=FILE",
    );
  return forgetUtility;
}
