/** What the advantages of a method are made from, as a rollout gives it. */
import type { PolicyMethod, Rewarded } from "../../../src/align/policies/contract.ts";
import { bindDefaults } from "../../../src/method/bind.ts";

/** Answers that follow one another in groups. */
export interface Judged {
  readonly rewards: readonly number[];
  readonly group: number;
  /** Of 1 token each when left out. */
  readonly lengths?: readonly number[];
  readonly truncated?: readonly boolean[];
}

/** One term of weight 1, and a method's defaults beside `settings`. */
export function rewarded(
  method: PolicyMethod,
  settings: Readonly<Record<string, unknown>>,
  { rewards, group, lengths, truncated, ...rest }: Judged & Partial<Omit<Rewarded, keyof Judged>>,
): Rewarded<never> {
  return {
    rewards: Float64Array.from(rewards),
    terms: rewards.map((reward) => [reward]),
    weights: [1],
    group,
    lengths: lengths ?? rewards.map(() => 1),
    truncated: truncated ?? rewards.map(() => false),
    penalties: undefined,
    estimates: undefined,
    entropies: undefined,
    measured: undefined,
    modes: undefined,
    greedy: undefined,
    ...rest,
    values: bindDefaults(method, { group, ...settings }).values as never,
  };
}
