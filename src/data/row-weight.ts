/** How much a row weighs in the loss of a training: `loss_weight`, a number of at least 0 beside what a row holds. */
import { UserError } from "../errors.ts";
import { kindOf } from "./row-fields.ts";
import type { LocatedRow } from "./rows.ts";

export const ROW_WEIGHT = "loss_weight";

/** Undefined where the row does not say. Throws UserError for one that is no such number. */
export function rowWeight({ row, place }: LocatedRow): number | undefined {
  const given = row.extra[ROW_WEIGHT];
  if (given === undefined || given === null) return undefined;
  if (typeof given === "number" && Number.isFinite(given) && given >= 0) return given;
  throw new UserError(`${place}: ${ROW_WEIGHT} should be a number of at least 0, found ${kindOf(given)}`);
}
