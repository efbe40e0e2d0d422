/**
 * DUMP: an upper confidence bound for every group of prompts, then a sharp softmax. Wang et al. 2025,
 * https://arxiv.org/abs/2504.09710
 *
 *   score_d = mean of the last `window` |advantages| + c sqrt(2 ln(N + 1) / (n_d + 1)),  p = softmax(score / tau)
 *
 * n_d answers of group d were seen so far, N of all. These counts never forget: late in the run the mean alone decides,
 * so both terms are told.
 */
import { confidenceBonus } from "../../../run/bandits.ts";
import { softmax } from "../../../run/simplex.ts";
import { definePromptSampler } from "../../policies/prompt-samplers/contract.ts";
import { listsOf } from "../../policies/prompt-samplers/memory.ts";

export const method = definePromptSampler({
  name: "dump",
  title: "DUMP",
  about: "draws groups by the size of their advantages and a bonus for those of which little was seen",
  cite: "arXiv:2504.09710",
  options: {
    arm_bonus: { type: "number >= 0", default: 1, help: "weight of the bonus" },
    arm_temperature: { type: "number > 0", default: 0.1, help: "of the softmax; small takes the best group alone" },
    arm_window: {
      type: "number.integer >= 1",
      default: 300,
      help: "answers whose advantages are averaged",
      value: "W",
    },
  },
  make(groups, { arm_bonus: c, arm_temperature: tau, arm_window: window }) {
    /** Of each group how many answers were seen, and then the last advantages. */
    const memory = { lists: Array.from({ length: groups }, () => [0]) };
    const means = () => memory.lists.map(([, ...last]) => last.reduce((a, b) => a + b, 0) / Math.max(1, last.length));
    const bonus = () =>
      confidenceBonus(
        memory.lists.map(([count]) => count!),
        c,
      );
    return {
      ...listsOf(memory),
      shares() {
        const more = bonus();
        return softmax(means().map((mean, i) => (mean + more[i]!) / tau));
      },
      heard(sizes) {
        memory.lists = memory.lists.map(([count, ...last], i) => [
          count! + sizes[i]!.length,
          ...[...last, ...sizes[i]!].slice(-window),
        ]);
      },
      told: () => ({ mean: means(), bonus: bonus() }),
    };
  },
});
