/** Settings that several types have, and configs of PEFT that ask for more than is done here. */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";

/** Options of a rank and a strength, under PEFT's keys `r` and `alpha`. */
export const rankAndAlpha = <const R extends number>(rank: R) =>
  ({
    adapter_rank: { type: "number.integer >= 1", default: rank, help: "rank of the adapter's matrices", value: "R" },
    adapter_alpha: { type: "number > 0", default: 8, help: "strength; the scale is alpha / rank", value: "A" },
  }) as const;

export const RANK_KEYS = { adapter_rank: "r", adapter_alpha: "alpha" } as const;

/** Names that are given one by one, or separated by commas. */
export const listed = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => text.split(",")).filter((text) => text !== "");

const isSet = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== false &&
  value !== 0 &&
  !(typeof value === "object" && Object.keys(value as object).length === 0);

/** Throws UserError for the first of the keys that a config sets. */
export function refuseSet(json: JsonObject, where: string, keys: readonly string[]): void {
  const key = keys.find((one) => isSet(json[one]));
  if (key === undefined) return;
  throw new UserError(
    `${where} uses ${key} ${JSON.stringify(json[key])}, which is not done here`,
    "merge it into its base with PEFT, then pass the merged folder",
  );
}
