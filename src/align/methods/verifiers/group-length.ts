/**
 * Length reward within a group: lambda = 1/2 - (length - min) / (max - min) of the answers to the same prompt. A right
 * answer has lambda, a wrong one no more than 0; where all are of one length, all have 0. Team et al. 2025 (Kimi k1.5),
 * https://arxiv.org/abs/2501.12599
 */
import { type Answered, defineVerifier } from "../../verifying/contract.ts";
import { lengthOf, UNIT } from "../../verifying/lengths.ts";

export const method = defineVerifier({
  name: "group-length",
  title: "Length reward within a group",
  about: "right answers that are shorter than others to the same prompt are worth more, long ones less",
  cite: "arXiv:2501.12599",
  laws: {
    alone: "an answer is short or long beside the others of its group",
    truth: "a shorter right answer has more",
    range: true,
  },
  range: [-0.5, 0.5],
  options: {
    unit: UNIT,
    by: { type: "string", default: "exact", value: "VERIFIER", help: "what says which answers are right" },
  },
  async make({ values: { unit, by }, judge }) {
    const verifier = await judge(by);
    const groupOf = ({ place, prompt }: Answered) => `${place}\0${prompt}`;
    return {
      async score(answers, signal) {
        const rights = await verifier.score(answers, signal);
        const groups = Map.groupBy(answers, groupOf);
        const ends = new Map(
          [...groups].map(([group, members]) => {
            const lengths = members.map((member) => lengthOf(member, unit));
            return [group, { least: Math.min(...lengths), most: Math.max(...lengths) }];
          }),
        );
        return answers.map((answered, i) => {
          const right = rights[i]!;
          if (right === null) return null;
          const { least, most } = ends.get(groupOf(answered))!;
          if (least === most) return 0;
          const lambda = 0.5 - (lengthOf(answered, unit) - least) / (most - least);
          return right >= 1 ? lambda : Math.min(0, lambda);
        });
      },
    };
  },
});
