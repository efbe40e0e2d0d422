/**
 * EATA: Tent on rows that are sure enough and unlike those before, held to the source by importances. Niu et al., ICML
 * 2022, https://arxiv.org/abs/2204.02610
 *
 *   rows      H(p) < margin ln K, and |cos(p, m)| < redundancy, m a moving average of what was learnt from so far
 *   loss      mean over these of exp(margin ln K - H) H
 *   anchor    weight / 2 sum_i F_i (theta_i - theta_0,i)^2; F is the mean square of the gradients of the cross-entropy
 *             of the model's own answers to source rows, by batch, as the authors' code has it
 */
import { UserError } from "../../../errors.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { entropyOf } from "../../../run/test-time/losses.ts";
import { probabilities } from "../../../run/test-time/probabilities.ts";
import { anchorAtSource } from "../../../run/test-time/source-importance.ts";
import { Student } from "../../../run/test-time/student.ts";
import { QuadraticPenalty } from "../../../run/training/rules/quadratic-penalty.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { sum } from "../../../tensor/ops/reduce.ts";

const entropy = (p: Float64Array): number => -p.reduce((sum, x) => sum + (x > 0 ? x * Math.log(x) : 0), 0);

function cosine(a: Float64Array, b: Float64Array): number {
  let [product, left, right] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    product += x * b[i]!;
    left += x * x;
    right += b[i]! ** 2;
  }
  return product / Math.sqrt(left * right);
}

export const method = testTimeMethod({
  name: "eata",
  title: "EATA",
  about: "entropy of sure rows that are unlike those before, held to the source by importances",
  cite: "arXiv:2204.02610",
  options: {
    eata_margin: {
      type: "number > 0",
      default: 0.4,
      help: "rows of less entropy than this times ln K are learnt from",
    },
    eata_redundancy: {
      type: "0 < number <= 1",
      default: 0.4,
      help: "only rows whose answer has a smaller cosine to the mean answer; 1: all (0.05 for 1000 classes)",
    },
    eata_anchor: {
      type: "number >= 0",
      default: 1,
      help: "weight of the way from the source, by importances on --source rows (2000 for 1000 classes); 0 needs none",
    },
    eata_rows: { type: "number.integer >= 1", default: 2000, help: "source rows of the importances", value: "N" },
  },
  trains: "norms",
  rate: 1e-3,
  check({ eata_anchor: anchor }, { hasSource }) {
    if (anchor > 0 && !hasSource)
      throw new UserError("eata measures importances on source rows", "give --source rows.jsonl, or --eata-anchor 0");
  },
  async begin(setting) {
    const { values, classes, gpu } = setting;
    const anchor =
      values.eata_anchor > 0 ? await anchorAtSource(setting, { rows: values.eata_rows, labels: "answers" }) : undefined;
    const penalty = anchor && new QuadraticPenalty(gpu, anchor, { weight: values.eata_anchor, owned: true });
    const student = await Student.make(setting, () => ({
      loss: (rec, { pass, rows, number }) =>
        sum(rec, mul(rec, number("weights", [rows("x")]), entropyOf(rec, pass("x").logits))),
      updates: penalty ? [penalty] : [],
    }));
    const limit = values.eata_margin * Math.log(classes);
    let average: Float64Array | undefined;
    let learnt = 0;
    return {
      async predict({ batch }) {
        const found = await student.answers.of(batch, ["student"]);
        return { scores: found.get("student")!.logits };
      },
      async learn({ batch }, { scores }) {
        const all = probabilities(scores, classes);
        const before = average;
        const isNew = (p: Float64Array) =>
          !before || values.eata_redundancy === 1 || Math.abs(cosine(p, before)) < values.eata_redundancy;
        const entropies = all.map(entropy);
        const chosen = all.map((p, i) => entropies[i]! < limit && isNew(p));
        const count = chosen.filter(Boolean).length;
        learnt += count;
        if (count === 0) return;
        const weights = entropies.map((h, i) => (chosen[i] ? Math.exp(limit - h) / count : 0));
        await student.step({ views: { x: batch }, numbers: { weights: Float32Array.from(weights) } });
        const own = new Float64Array(classes);
        for (const [i, p] of all.entries()) if (chosen[i]) for (const [k, x] of p.entries()) own[k]! += x / count;
        average = before ? before.map((x, k) => 0.9 * x + 0.1 * own[k]!) : own;
      },
      reset() {
        student.reset();
        average = undefined;
        learnt = 0;
      },
      tells: () => ({ learnt_rows: learnt }),
      free: () => student.free(),
    };
  },
});
