/**
 * Dynamic advantage estimation: GRPO whose groups weigh more while they teach. A group teaches where its longest right
 * answer is longer than its wrong ones are on average and, with --adora-by length-and-difficulty, where no more than
 * --adora-tau of its answers are right. Other groups are attenuated, or these amplified. ADORA: Training Reasoning
 * Models with Dynamic Advantage Estimation, 2025, https://github.com/ShadeCloak/ADORA
 *
 * Wrong answers that were cut are left out; without any other wrong one a group does not teach. A group without a right
 * answer keeps weight 1.
 */
import { groupRelative, meanOf } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";
import { rightAnswers, SUCCESS } from "../../policies/success.ts";

/** What the two modes are published with. */
const USUAL = {
  attenuate: { weight: 0.1, by: "length" },
  amplify: { weight: 2, by: "length-and-difficulty" },
} as const;

interface GroupAnswer {
  readonly right: boolean;
  readonly length: number;
  readonly truncated: boolean;
}

/** Whether a group with a right answer teaches. */
function teaches(answers: readonly GroupAnswer[], by: "length" | "length-and-difficulty", tau: number): boolean {
  const right = answers.filter((answer) => answer.right);
  const wrong = answers.filter((answer) => !answer.right && !answer.truncated);
  if (wrong.length === 0) return false;
  const isLong = Math.max(...right.map(({ length }) => length)) > meanOf(wrong.map(({ length }) => length));
  return isLong && (by === "length" || right.length / answers.length <= tau);
}

export const method = definePolicy({
  name: "adora",
  title: "Dynamic advantage estimation",
  about: "GRPO whose groups weigh more where right answers are longer than wrong ones",
  cite: "https://github.com/ShadeCloak/ADORA",
  laws: { ...EVERY_POLICY_LAW, shiftFree: "what is right is known by the reward itself" },
  options: {
    adora_mode: {
      type: "'attenuate' | 'amplify'",
      default: "attenuate",
      help: "weigh groups that do not teach, or those that do",
    },
    adora_weight: {
      type: "number > 0",
      help: "their weight; 0.1 to attenuate and 2 to amplify when left out",
      value: "W",
    },
    adora_by: {
      type: "'length' | 'length-and-difficulty'",
      help: "what says that a group teaches; length to attenuate and both to amplify when left out",
    },
    adora_tau: {
      type: "0 <= number <= 1",
      default: 0.5,
      help: "largest share of right answers of a difficult prompt",
      value: "SHARE",
    },
    ...SUCCESS,
  },
  advantages(given) {
    const { lengths, truncated, group, values } = given;
    const { adora_mode: mode, adora_tau: tau } = values;
    const { adora_weight: weight = USUAL[mode].weight, adora_by: by = USUAL[mode].by } = values;
    const right = rightAnswers(given, values);
    const advantages = groupRelative(given);
    for (let from = 0; from < advantages.length; from += group) {
      const answers = Array.from({ length: group }, (_, i) => {
        return { right: right[from + i]!, length: lengths[from + i]!, truncated: truncated[from + i]! };
      });
      if (!answers.some((answer) => answer.right)) continue;
      if (teaches(answers, by, tau) !== (mode === "amplify")) continue;
      for (let i = from; i < from + group; i++) advantages[i]! *= weight;
    }
    return [...advantages];
  },
});
