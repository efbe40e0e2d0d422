/**
 * PSMT: a mean teacher that protects parameters. Tian and Lyu, ECCV 2024, https://arxiv.org/abs/2407.02253
 *
 *   q         softmax of the teacher's logits on x, of their mean over views where the source model is unsure
 *   loss      mean of SCE(q, p(x)) / 2 + SCE(q, p(view of x)) / 2, and lam sum_i F_i (theta_i - theta_0,i)^2
 *   F         mean over source batches of the squared gradient of the cross-entropy of the source's own answers
 *   teacher   a moving average; then weights whose gradient in this step is among the share q of least magnitude go
 *             back to theta_0, in student and teacher, and all others take the average once more
 *
 * The answers are those of both: the sum of their logits.
 */
import { UserError } from "../../../errors.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { symmetricCrossEntropy } from "../../../run/test-time/losses.ts";
import { confidenceOf, overViews } from "../../../run/test-time/probabilities.ts";
import { gradientQuantile, Restoring } from "../../../run/test-time/restoring.ts";
import { anchorAtSource, anchorFromFile } from "../../../run/test-time/source-importance.ts";
import { Student } from "../../../run/test-time/student.ts";
import { SURE, TEACHER } from "../../../run/test-time/teacher-options.ts";
import { QuadraticPenalty } from "../../../run/training/rules/quadratic-penalty.ts";
import { add, scale } from "../../../tensor/ops/elementwise.ts";
import { mean } from "../../../tensor/ops/reduce.ts";

export const method = testTimeMethod({
  name: "psmt",
  title: "PSMT",
  about: "a mean teacher held to the source by importances, whose weights of small gradients go back",
  cite: "arXiv:2407.02253",
  options: {
    ...TEACHER,
    ...SURE,
    fisher_weight: {
      type: "number >= 0",
      default: 500,
      help: "weight of the way from the source, by importances; 0 needs none",
    },
    fisher: {
      type: "string",
      help: "importances that evaluate --probe fisher wrote of the source; measured on --source rows when left out",
      value: "FILE",
    },
    fisher_rows: { type: "number.integer >= 1", default: 2000, help: "source rows of the importances", value: "N" },
    quantile: { type: "0 <= number < 1", default: 0.03, help: "share of the weights that go back at a step" },
  },
  trains: "all",
  rate: 1e-3,
  check({ fisher_weight: weight, fisher }, { hasSource }) {
    if (weight > 0 && fisher === undefined && !hasSource)
      throw new UserError(
        "psmt measures importances on source rows",
        "give --source rows.jsonl, --fisher FILE, or --fisher-weight 0",
      );
  },
  async begin(setting) {
    const { gpu, values, classes } = setting;
    const { fisher_weight: weight, teacher_momentum: momentum, quantile } = values;
    const measured = () => anchorAtSource(setting, { rows: values.fisher_rows, labels: "answers" });
    const { fisher } = values;
    const found = () => (fisher === undefined ? measured() : anchorFromFile(setting, fisher));
    const anchor = weight > 0 ? await found() : undefined;
    // A penalty is half of its weight times the square.
    const penalty = anchor && new QuadraticPenalty(gpu, anchor, { weight: 2 * weight, owned: true });
    const student = await Student.make(setting, () => ({
      loss(rec, { pass, number, rows }) {
        const teacher = number("teacher", [rows("x"), classes]);
        const [own, other] = [pass("x").logits, pass("view").logits];
        const both = add(rec, symmetricCrossEntropy(rec, teacher, own), symmetricCrossEntropy(rec, teacher, other));
        return scale(rec, mean(rec, both), 0.5);
      },
      ...({ teacher: true, source: true } as const),
      updates: penalty ? [penalty] : [],
    }));
    const restoring = new Restoring(gpu, student.source.of);
    return {
      async predict(batch) {
        const found = await student.answers.of(batch.batch, ["student", "teacher", "source"]);
        const isSure = confidenceOf(found.get("source")!.logits, classes) >= values.sure_above;
        const views = { answers: student.answers, way: "teacher", views: values.views };
        const teacher = isSure ? found.get("teacher")!.logits : (await overViews(setting, batch, views)).mean;
        return { scores: found.get("student")!.logits.map((x, i) => x + teacher[i]!), targets: teacher };
      },
      async learn({ batch, rows, index }, { targets }) {
        const views = { x: batch, view: setting.augment(rows, `${index} learnt`) };
        await student.step({ views, numbers: { teacher: targets! } });
        await student.teacher.follow(momentum);
        const least = await gradientQuantile(gpu, student.parameters, quantile);
        // The restored weights of both are the source's, so that the average leaves them there.
        if (least > 0) await restoring.bySmallGradient(least, student.teacher.of);
        await student.teacher.follow(momentum);
      },
      reset: () => student.reset(),
      finish: () => student.teacher.give(),
      free() {
        restoring.free();
        student.free();
      },
    };
  },
});
