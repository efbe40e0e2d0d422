/** When customers of a shop rate advice, and how far they trust it. */
import type { Options } from "../method/options.ts";

export const BUYER = {
  hindsight: {
    type: "'none' | 'partial' | 'oracle'",
    default: "partial",
    help: "rated at once, after what a purchase reveals, or with everything known",
  },
  trust: { type: "0.5 <= number <= 1", default: 0.9, help: "chance that a buyer gives a claim to be true", value: "P" },
} as const satisfies Options;

/** Options of `align label`. */
export const LABEL = {
  ...BUYER,
  field: { type: "string", default: "answer", value: "KEY", help: "key that has what the model says" },
  to: {
    type: "'pairs' | 'rewards'",
    default: "pairs",
    help: "the best and the worst answer to a prompt, or rows with a reward",
  },
  least: {
    type: "number >= 0",
    default: 0,
    with: { to: "pairs" },
    help: "how far apart the ratings of a pair are",
    value: "X",
  },
} as const satisfies Options;
