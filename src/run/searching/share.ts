/** The share of an array job: which trials of a search one task of it makes. */
import { UserError } from "../../errors.ts";
import type { SearchMethod } from "./contract.ts";

/** Trials with trial % of === worker. */
export interface Share {
  readonly worker: number;
  readonly of: number;
}

/** Reads I/N of `--trial`. Throws UserError for others, and for a search whose trials cannot be made apart. */
export function shareOf(text: string, { name, independent }: Pick<SearchMethod, "name" | "independent">): Share {
  const [, worker = 0, of = 0] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (!(worker >= 1 && worker <= of))
    throw new UserError(`--trial ${text} is not I/N with I from 1 to N`, "for example --trial 2/8");
  if (!independent)
    throw new UserError(
      `--search ${name} learns from its scores, so its trials cannot be made apart`,
      "leave out --trial, or use --search random or grid",
    );
  return { worker: worker - 1, of };
}
