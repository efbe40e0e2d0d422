/**
 * CoTTA: a student of its own moving average, whose answers are averaged over views where the source is unsure, and
 * some weights that go back by chance. Wang et al., CVPR 2022, https://arxiv.org/abs/2203.13591
 *
 *   q         softmax of the teacher's logits on x; of their mean over views where the source model's mean largest
 *             probability is below a threshold
 *   loss      mean of CE(q, p)
 *   teacher   theta_T <- m theta_T + (1 - m) theta, and then each weight of the student is theta_0's with some
 *             probability
 *
 * The answers are the teacher's.
 */
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { softCrossEntropy } from "../../../run/test-time/losses.ts";
import { confidenceOf, overViews } from "../../../run/test-time/probabilities.ts";
import { Restoring } from "../../../run/test-time/restoring.ts";
import { Student } from "../../../run/test-time/student.ts";
import { RESTORING, SURE, TEACHER } from "../../../run/test-time/teacher-options.ts";
import { mean } from "../../../tensor/ops/reduce.ts";

export const method = testTimeMethod({
  name: "cotta",
  title: "CoTTA",
  about: "a mean teacher that answers over views, and weights that go back to the source by chance",
  cite: "arXiv:2203.13591",
  options: { ...TEACHER, ...RESTORING, ...SURE },
  trains: "all",
  rate: 1e-3,
  async begin(setting) {
    const { gpu, values, classes, seed } = setting;
    const student = await Student.make(setting, () => ({
      loss: (rec, { pass, number, rows }) =>
        mean(rec, softCrossEntropy(rec, number("teacher", [rows("x"), classes]), pass("x").logits)),
      ...({ teacher: true, source: true } as const),
    }));
    const restoring = new Restoring(gpu, student.source.of);
    return {
      async predict(batch) {
        const found = await student.answers.of(batch.batch, ["teacher", "source"]);
        if (confidenceOf(found.get("source")!.logits, classes) >= values.sure_above)
          return { scores: found.get("teacher")!.logits };
        const views = { answers: student.answers, way: "teacher", views: values.views };
        return { scores: (await overViews(setting, batch, views)).mean };
      },
      async learn({ batch, index }, { scores }) {
        await student.step({ views: { x: batch }, numbers: { teacher: scores } });
        await student.teacher.follow(values.teacher_momentum);
        await restoring.byChance(values.restore, (Math.imul(seed, 0x9e3779b9) + index) >>> 0);
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
