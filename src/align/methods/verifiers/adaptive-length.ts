/**
 * Length by difficulty: whether an answer is right, less `lambda` times what it is longer than its prompt needs, as a
 * part of `max`. A prompt of which a share d of the answers are wrong needs max x d / easy; one of which more than
 * `easy` are wrong is hard, and its answers may be of any length. Hunyuan-TurboS, 2025,
 * https://arxiv.org/abs/2505.15431
 */
import { type Answered, defineVerifier } from "../../verifying/contract.ts";
import { lengthOf, MAX, mostOf, UNIT } from "../../verifying/lengths.ts";

export const method = defineVerifier({
  name: "adaptive-length",
  title: "Length by difficulty",
  about: "1 of right answers, less a penalty of long answers to prompts that the model mostly gets right",
  cite: "arXiv:2505.15431",
  laws: {
    alone: "a prompt is easy by the other answers to it",
    truth: "a shorter right answer may have more",
    range: true,
  },
  range: [-0.3, 1],
  options: {
    lambda: {
      type: "0 <= number <= 1",
      default: 0.3,
      value: "LAMBDA",
      help: "penalty of max at a prompt of no difficulty",
    },
    easy: {
      type: "0 < number <= 1",
      default: 0.5,
      value: "EASY",
      help: "share of wrong answers up to which a prompt is easy",
    },
    max: MAX,
    unit: UNIT,
    by: { type: "string", default: "exact", value: "VERIFIER", help: "what says which answers are right" },
  },
  trial: "max=8",
  async make(setup) {
    const { lambda, easy, unit, by } = setup.values;
    const most = mostOf(setup, setup.values);
    const verifier = await setup.judge(by);
    const groupOf = ({ place, prompt }: Answered) => `${place}\0${prompt}`;
    return {
      async score(answers, signal) {
        const rights = await verifier.score(answers, signal);
        const tried = new Map<string, number>();
        const wrong = new Map<string, number>();
        for (const [i, answered] of answers.entries()) {
          if (rights[i] === null) continue;
          const group = groupOf(answered);
          tried.set(group, (tried.get(group) ?? 0) + 1);
          if (rights[i]! < 1) wrong.set(group, (wrong.get(group) ?? 0) + 1);
        }
        return answers.map((answered, i) => {
          const right = rights[i]!;
          if (right === null) return null;
          const group = groupOf(answered);
          const needed = (wrong.get(group) ?? 0) / tried.get(group)! / easy;
          const over = Math.min(1, lengthOf(answered, unit) / most) - needed;
          return right - lambda * Math.max(0, over);
        });
      },
    };
  },
});
