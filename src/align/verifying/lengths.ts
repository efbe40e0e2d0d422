/** How long answers are, for rewards that depend on it. */
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

export const lengthOf = ({ tokens, answer }: Answered, unit: Unit): number =>
  unit === "tokens" ? tokens : [...answer].length;

/** The longest length, from the option or else the limit of tokens. Refuses where neither is known. */
export function mostOf(
  { maxTokens, refuse }: Pick<VerifierSetup, "maxTokens" | "refuse">,
  { max, unit = "tokens" }: { readonly max: number | undefined; readonly unit?: Unit },
): number {
  if (max !== undefined) return max;
  if (unit === "tokens" && maxTokens !== undefined) return maxTokens;
  return refuse("the longest length is not known", "write it behind the name: length:512");
}
