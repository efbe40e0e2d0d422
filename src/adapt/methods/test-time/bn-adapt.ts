/**
 * Batch norms by the statistics of the batch that is answered, in place of those of the source rows. Schneider et al.,
 * NeurIPS 2020, https://arxiv.org/abs/2006.16971, with no weight for the source's (N = 0)
 */
import { UserError } from "../../../errors.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { Answers } from "../../../run/test-time/student.ts";

export const method = testTimeMethod({
  name: "bn-adapt",
  title: "Statistics of the batch",
  about: "batch norms go by the rows of the batch; no weight is trained",
  cite: "arXiv:2006.16971",
  options: {},
  trains: "none",
  check(_, { hasBatchNorm }) {
    if (!hasBatchNorm)
      throw new UserError(
        "bn-adapt changes the statistics of batch norms, and the model has none",
        "take tent, which trains the gains of any norms",
      );
  },
  begin({ model }) {
    const answers = new Answers(model, { source: undefined }, "rows");
    return {
      async predict({ batch }) {
        const found = await answers.of(batch, ["source"]);
        return { scores: found.get("source")!.logits };
      },
      reset() {},
      free: () => answers.free(),
    };
  },
});
