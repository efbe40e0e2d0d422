/**
 * Cosine length reward: of right answers the short ones are worth more, of wrong ones the long ones, so that a model
 * thinks on where it does not know. Yeo et al. 2025, https://arxiv.org/abs/2502.03373
 *
 * With u = min(1, length / max) and c = cos(pi u), an answer from `short` at length 0 to `long` at max has
 * long + (short - long) (1 + c) / 2.
 */
import { defineVerifier } from "../../verifying/contract.ts";
import { lengthOf, MAX, mostOf, UNIT } from "../../verifying/lengths.ts";

export const method = defineVerifier({
  name: "cosine-length",
  title: "Cosine length reward",
  about: "short right answers are worth most, short wrong ones least, in half a cosine of the length",
  cite: "arXiv:2502.03373",
  laws: { alone: true, truth: "a shorter right answer has more", range: true },
  range: [-1, 1],
  options: {
    right_long: { type: "-1000 <= number <= 1000", default: 0.1, help: "of a right answer of the full length" },
    right_short: { type: "-1000 <= number <= 1000", default: 1, help: "of a right answer of no length" },
    wrong_short: { type: "-1000 <= number <= 1000", default: -1, help: "of a wrong answer of no length" },
    wrong_long: { type: "-1000 <= number <= 1000", default: -0.1, help: "of a wrong answer of the full length" },
    max: MAX,
    unit: UNIT,
    by: { type: "string", default: "exact", value: "VERIFIER", help: "what says which answers are right" },
  },
  trial: "max=8",
  async make(setup) {
    const { right_long, right_short, wrong_short, wrong_long, by, unit } = setup.values;
    if (Math.min(right_long, right_short) < Math.max(wrong_short, wrong_long))
      setup.refuse(
        "a wrong answer could be worth more than a right one",
        "both right values stand above both wrong ones",
      );
    const most = mostOf(setup, setup.values);
    const judge = await setup.judge(by);
    return {
      async score(answers, signal) {
        const rights = await judge.score(answers, signal);
        return answers.map((answered, i) => {
          const right = rights[i]!;
          if (right === null) return null;
          const [short, long] = right >= 1 ? [right_short, right_long] : [wrong_short, wrong_long];
          const cosine = Math.cos(Math.PI * Math.min(1, lengthOf(answered, unit) / most));
          return long + ((short - long) * (1 + cosine)) / 2;
        });
      },
    };
  },
});
