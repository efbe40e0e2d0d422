/** The option to search how far the range of a group is clipped, which quantizers share. */
import { UserError } from "../errors.ts";
import type { Options } from "../method/options.ts";
import type { Scheme } from "./quantizer.ts";

export const CLIP_SEARCH = {
  mse: { type: "boolean", default: false, help: "clip the range of each group where that costs least" },
} as const satisfies Options;

/** Throws UserError where a search is asked for that levels do not have. */
export function refuseSearchOfLevels({ levels }: Scheme, mse: boolean): void {
  if (mse && levels)
    throw new UserError("--mse searches the range of integers, not of a table of levels", "leave it out");
}
