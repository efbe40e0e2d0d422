/**
 * AdaptThink: learns to leave thinking out where that costs no accuracy. Half of all answers begin with the token that
 * ends thinking, the others with an ordinary opening, whatever the model finds likely; the ratio of an answer is
 * against that policy. The advantage is --delta for an answer without thinking, plus whether it is right, less how
 * often the model as it was is right on the prompt when it thinks: measured by --group answers before the first
 * rollout, or `reference_accuracy` of the row. Zhang et al. 2025, https://arxiv.org/abs/2505.13417
 */
import { UserError } from "../../../errors.ts";
import { definePolicy, EVERY_POLICY_LAW, type PolicyRow } from "../../policies/contract.ts";
import { controlTokens } from "../../policies/modes.ts";
import { rightAnswers, SUCCESS } from "../../policies/success.ts";

/** How often the model as it was is right on a prompt, where the row says it. Throws UserError. */
function saidOf({ row, place }: PolicyRow): number | undefined {
  const { reference_accuracy: share } = row.extra;
  if (share === undefined) return undefined;
  if (typeof share === "number" && share >= 0 && share <= 1) return share;
  throw new UserError(
    `${place}: reference_accuracy is no share`,
    "write how often the model is right on the prompt when it thinks, from 0 to 1, or leave it out",
  );
}

export const method = definePolicy({
  name: "adaptthink",
  title: "AdaptThink",
  about: "learns to leave thinking out where that costs no accuracy: half of the answers are made to begin so",
  cite: "arXiv:2505.13417",
  laws: {
    ...EVERY_POLICY_LAW,
    zeroSum: "the baseline is the accuracy of the model as it was",
    equalRewards: "the baseline is the accuracy of the model as it was",
    shiftFree: "what is right is known by the reward itself",
  },
  options: {
    control_tokens: {
      type: "string",
      default: "</think>,Okay",
      help: "first tokens of answers: the one that ends thinking, and one that begins it",
      value: "END,OPENING",
    },
    delta: {
      type: "number >= 0",
      default: 0.05,
      help: "accuracy that leaving thinking out may cost: a larger one shortens more",
      value: "DELTA",
    },
    ...SUCCESS,
  },
  defaults: { ratio: "sequence", scale_rewards: "none" },
  check({ control_tokens: tokens, kl, kl_in: where }) {
    controlTokens(tokens);
    if (kl > 0 && where === "reward")
      throw new UserError(
        "--kl-in reward needs answers that the model begins, and adaptthink begins them itself",
        "give --kl-in loss",
      );
  },
  measure: {
    mode: 1,
    known: saidOf,
    of(given) {
      const right = rightAnswers(given, given.values);
      return right.filter(Boolean).length / right.length;
    },
  },
  modes: { tokens: ({ control_tokens: tokens }) => controlTokens(tokens), forced: true },
  advantages(given) {
    const { modes, measured, group, values } = given;
    return rightAnswers(given, values).map(
      (isRight, i) => (modes![i] === 0 ? values.delta : 0) + (isRight ? 1 : 0) - measured![Math.floor(i / group)]!,
    );
  },
});
