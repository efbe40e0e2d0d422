/**
 * Entropy of the answers with their class shares tied to a prior, which keeps them from all becoming one class. Bateson
 * et al., "Source-Free Domain Adaptation for Image Segmentation", MedIA 2022, https://arxiv.org/abs/2108.03152
 *
 *   L = lam1 mean_u -sum_c v_c p_uc log p_uc + lam2 KL(r || tau)
 *
 * r are the shares of a batch (run/test-time/proportions.ts). The prior is that of the source rows where there are
 * some, else even. With lam2 0 it is Tent's objective; gains and biases of norms are trained, as there.
 */
import { UserError } from "../../../errors.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { classShares, shareDivergence, weighedEntropy } from "../../../run/test-time/proportions.ts";
import { Student } from "../../../run/test-time/student.ts";
import { add, scale } from "../../../tensor/ops/elementwise.ts";

/** Throws UserError unless there is a number for each class. */
function expectClasses(values: readonly number[] | undefined, classes: number, flag: string): void {
  if (values && values.length !== classes)
    throw new UserError(`${flag} has ${values.length} numbers, and the model ${classes} classes`, "give one for each");
}

export const method = testTimeMethod({
  name: "prior-entropy",
  title: "Entropy with a prior",
  about: "entropy of the answers goes down, and the shares of classes stay near a prior",
  cite: "arXiv:2108.03152",
  options: {
    prior_ratios: {
      type: "number[]",
      value: "R1,R2,...",
      help: "how often classes come, in any unit; as in --source, else alike, when left out",
    },
    prior_entropy_weight: { type: "number >= 0", default: 1, help: "weight of the entropy", value: "LAM1" },
    prior_weight: { type: "number >= 0", default: 1, help: "weight of the way from the prior", value: "LAM2" },
    prior_classes: { type: "number[]", value: "V1,V2,...", help: "weights of classes in the entropy; 1 when left out" },
    prior_shares: {
      type: "'soft-count' | 'mean'",
      default: "soft-count",
      help: "shares of classes by probabilities over the largest of the row, or by mean probabilities",
    },
  },
  trains: "norms",
  rate: 1e-3,
  check({ prior_ratios: ratios, prior_classes: weights, prior_entropy_weight: first, prior_weight: second }) {
    if (ratios && (ratios.some((r) => !(r >= 0)) || ratios.every((r) => r === 0)))
      throw new UserError(`--prior-ratios ${ratios.join(",")} are no shares`, "give numbers of 0 and above, not all 0");
    if (weights?.some((v) => !(v >= 0)))
      throw new UserError(`--prior-classes ${weights.join(",")}: weights are 0 or above`, "for example 0.1,0.9");
    if (first === 0 && second === 0)
      throw new UserError("--prior-entropy-weight 0 and --prior-weight 0 leave nothing to learn", "raise one of them");
  },
  async begin(setting) {
    const { values, classes, source } = setting;
    const { prior_ratios: ratios, prior_classes: weights } = values;
    expectClasses(ratios, classes, "--prior-ratios");
    expectClasses(weights, classes, "--prior-classes");
    const counts = Array<number>(classes).fill(source ? 0 : 1);
    for (const { label } of source?.rows ?? []) counts[label]!++;
    const asked = ratios ?? counts;
    const total = asked.reduce((a, b) => a + b, 0);
    const prior = asked.map((r) => r / total);
    const { prior_entropy_weight: first, prior_weight: second, prior_shares: kind } = values;
    const student = await Student.make(setting, () => ({
      loss(rec, { pass }) {
        const { logits } = pass("x");
        const entropy = weighedEntropy(rec, logits, weights);
        const own = first === 1 ? entropy : scale(rec, entropy, first);
        if (second === 0) return own;
        return add(rec, own, scale(rec, shareDivergence(rec, classShares(rec, logits, kind), prior), second));
      },
    }));
    return {
      async predict({ batch }) {
        const found = await student.answers.of(batch, ["student"]);
        return { scores: found.get("student")!.logits };
      },
      learn: ({ batch }) => student.step({ views: { x: batch } }),
      reset: () => student.reset(),
      tells: () => ({ prior }),
      free: () => student.free(),
    };
  },
});
