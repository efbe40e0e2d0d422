/**
 * Decoupled GRPO: the first token of an answer says whether it answers at once or thinks first, and the loss of that
 * token is apart from the others: it weighs --alpha, however long answers are. A right answer is worth 1, less
 * --think-cost where it thought, and a wrong one -1; the advantage is that less the mean of the group. Thinkless: LLM
 * Learns When to Think, 2025, https://arxiv.org/abs/2505.13379
 *
 * The other tokens weigh as --aggregate says: global-token as in the published code, seq-mean as in the paper. An
 * answer that begins with neither token is wrong.
 */
import { UserError } from "../../../errors.ts";
import { groupsIn, meanOf, penalized } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";
import { controlTokens } from "../../policies/modes.ts";
import { rightAnswers, SUCCESS } from "../../policies/success.ts";

export const method = definePolicy({
  name: "degrpo",
  title: "Decoupled GRPO",
  about: "learns when to think: the first token of an answer chooses, and its loss is apart from the rest",
  cite: "arXiv:2505.13379",
  laws: {
    ...EVERY_POLICY_LAW,
    equalRewards: "a right answer is worth less where it thought",
    shiftFree: "what is right is known by the reward itself",
  },
  options: {
    control_tokens: {
      type: "string",
      default: "<short>,<think>",
      help: "first tokens of answers: of those that answer at once, and of those that think",
      value: "SHORT,THINK",
    },
    alpha: { type: "number >= 0", default: 1e-3, help: "weight of the first token of an answer", value: "ALPHA" },
    think_cost: { type: "0 <= number <= 2", default: 0.5, help: "what thinking takes off a right answer" },
    ...SUCCESS,
  },
  defaults: { aggregate: "global-token", scale_rewards: "none", kl: 0.001 },
  check({ control_tokens: tokens, scale_rewards: by, combine }) {
    controlTokens(tokens);
    if (by !== "none" || combine !== "sum")
      throw new UserError(
        `degrpo has rewards of its own, which are divided by nothing, and ${
          by === "none" ? `--combine ${combine}` : `--scale-rewards ${by}`
        } is for others`,
        "leave it out",
      );
  },
  modes: { tokens: ({ control_tokens: tokens }) => controlTokens(tokens), weight: ({ alpha }) => alpha },
  advantages(given) {
    const { modes, penalties, group, values } = given;
    const worth = Float64Array.from(rightAnswers(given, values), (isRight, i) => {
      const mode = modes![i]!;
      return isRight && mode >= 0 ? 1 - mode * values.think_cost : -1;
    });
    return groupsIn(penalized({ rewards: worth, penalties }), group).flatMap((own) => {
      const mean = meanOf(own);
      return Array.from(own, (reward) => reward - mean);
    });
  },
});
