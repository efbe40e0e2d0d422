/**
 * How far rows of probabilities are from others, with a gradient to the student's alone. Of logits see divergence.ts.
 */
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

export type RowDistance = "kl" | "mse";

/**
 * kl: KL(teacher || student), mse: the sum of squares of the differences. (..., C) each -> (...). Rows of zeros give 0.
 */
export function rowDistance(rec: Recorder, student: Tensor, teacher: Tensor, kind: RowDistance): Tensor {
  const { rows: n, width: c } = rowsOf(student);
  if (sizeOf(teacher.shape) !== n * c || rowsOf(teacher).width !== c)
    throw new RangeError(`${kind}: student ${showShape(student.shape)}, teacher ${showShape(teacher.shape)}`);
  if (teacher.needsGrad) throw new Error(`${kind}: no gradient goes to the teacher; stop it first`);
  const loss = rec.result(student.shape.slice(0, -1), [student], kind);
  const work = rowWork(rec, n, c);
  const flags = [kind, ...work.flags];
  const { groups } = work;
  rec.step({ kernel: "row-distance/row-distance", flags, bind: { student, teacher, loss }, params: { n, c }, groups });
  rec.onBackward(loss, (d_loss) => {
    const { into, accumulate } = rec.gradient(student);
    rec.step({
      kernel: "row-distance/row-distance-gradient",
      flags,
      bind: { student, teacher, d_loss, dx: into },
      params: { n, c, accumulate },
      groups,
    });
  });
  return loss;
}
