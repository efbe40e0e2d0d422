/** Tent: gains and biases of norms go down the entropy of the answers. Wang et al., ICLR 2021 */
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { entropyOf } from "../../../run/test-time/losses.ts";
import { Student } from "../../../run/test-time/student.ts";
import { mean } from "../../../tensor/ops/reduce.ts";

export const method = testTimeMethod({
  name: "tent",
  title: "Tent",
  about: "gains and biases of norms go down the entropy of the answers",
  cite: "arXiv:2006.10726",
  options: {},
  trains: "norms",
  rate: 1e-3,
  async begin(setting) {
    const student = await Student.make(setting, () => ({
      loss: (rec, { pass }) => mean(rec, entropyOf(rec, pass("x").logits)),
    }));
    return {
      async predict({ batch }) {
        const found = await student.answers.of(batch, ["student"]);
        return { scores: found.get("student")!.logits };
      },
      learn: ({ batch }) => student.step({ views: { x: batch } }),
      reset: () => student.reset(),
      free: () => student.free(),
    };
  },
});
