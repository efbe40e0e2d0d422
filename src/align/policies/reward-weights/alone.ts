/** Rewards of a rollout one by one: what weighs them anew takes each alone. */
import { meanOf } from "../advantages.ts";
import type { Advantages, Rewarded } from "../contract.ts";
import type { Plain } from "./contract.ts";

/** What a term says of every answer; its mean where it says nothing. */
export function columnOf({ terms }: Pick<Rewarded, "terms">, k: number): Float64Array {
  const mean = meanOf(terms.flatMap((row) => row[k] ?? []));
  return Float64Array.from(terms, (row) => row[k] ?? mean);
}

/** Advantages as the method makes them of rewards that stand in the place of the sum. */
export function aloneOf(
  given: Rewarded<never>,
  plain: Plain,
  rewards: Float64Array,
  how: { readonly penalties?: Rewarded["penalties"] } = {},
): Advantages {
  const terms = Array.from(rewards, (reward) => [reward]);
  return plain({ ...given, rewards, terms, weights: [1], penalties: how.penalties });
}
