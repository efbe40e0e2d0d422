/** How long answers are, for rewards that depend on it. */

import { UserError } from "../../errors.ts";
import type { OptionSpec } from "../../method/options.ts";
import type { Answered, VerifierSetup } from "./contract.ts";

export const UNIT = {
  type: "'tokens' | 'characters'",
  default: "tokens",
  help: "what lengths are counted in",
} as const satisfies OptionSpec;

export const MAX = {
  type: "number.integer >= 1",
  value: "MAX",
  help: "length at which the reward ends; the limit of tokens when left out",
} as const satisfies OptionSpec;

export type Unit = "tokens" | "characters";

/** The length of an answer. Throws UserError where its tokens are to be counted and are not known. */
export function lengthOf({ tokens, answer, place }: Answered, unit: Unit): number {
  if (unit === "characters") return [...answer].length;
  if (tokens !== undefined) return tokens;
  throw new UserError(
    `${place}: tokens is not there, and a reward counts the tokens of the answer`,
    'write it beside the answer, {"tokens": 12}, or count characters: length:512,unit=characters',
  );
}

/** The longest length, from the option or else the limit of tokens. Refuses where neither is known. */
export function mostOf(
  { maxTokens, refuse }: Pick<VerifierSetup, "maxTokens" | "refuse">,
  { max, unit = "tokens" }: { readonly max: number | undefined; readonly unit?: Unit },
): number {
  if (max !== undefined) return max;
  if (unit === "tokens" && maxTokens !== undefined) return maxTokens;
  return refuse("the longest length is not known", "write it behind the name: length:512");
}
