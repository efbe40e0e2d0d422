/**
 * Self-distillation for further pre-training: the original model learns the new text while its last hidden states are
 * drawn to those of its own further-trained copy. Lee et al., ICLR 2023, https://arxiv.org/abs/2210.02871
 *
 *   cross-entropy + lambda |f(x) - f_teacher(x)|^2 / d
 *
 * The teacher is the copy: train the model on the text, then `distill --student model/ --teacher copy/ --method
 * self-further`; again with the result as teacher for further rounds. lambda is --distill-weight.
 */
import { UserError } from "../../errors.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { meanSquare } from "../state-distance.ts";

export const method = defineDistillation({
  name: "self-further",
  title: "Self-distillation for further pre-training",
  about: "learns new text while its last hidden states stay near those of its own further-trained copy",
  cite: "arXiv:2210.02871",
  laws: {
    ...EVERY_LAW,
    shiftInvariant: "hidden states are compared, not logits",
    zeroWhereUncounted: "hidden states have no labels",
  },
  weights: { distill: 1, labels: 1 },
  options: {},
  states(rec, { student, teacher, sizes }) {
    if (sizes.student.width !== sizes.teacher.width)
      throw new UserError(
        `self-further: the teacher is ${sizes.teacher.width} wide, the student ${sizes.student.width}`,
        "the teacher is the student's own further-trained copy; for another model use --method hidden",
      );
    return meanSquare(rec, student.hidden, teacher.hidden);
  },
});
