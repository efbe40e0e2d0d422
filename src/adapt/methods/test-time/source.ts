/** The source model as it is: what every way of adapting is compared with. common practice */
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { Answers } from "../../../run/test-time/student.ts";

export const method = testTimeMethod({
  name: "source",
  title: "Source",
  about: "the source model as it is, which learns nothing",
  cite: "common practice",
  options: {},
  trains: "none",
  begin({ model }) {
    const answers = new Answers(model, { source: undefined }, "running");
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
