/** The capability of a method that says how the teacher learns beside the student. */
import { ofSecondResult } from "../checkpoint/lineage/lineage.ts";
import { UserError } from "../errors.ts";
import type { Options, Values } from "../method/options.ts";
import { saveModel } from "../model/save.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DistillCapability, TeacherRows } from "./capability.ts";

const OPTIONS = {
  online: { type: "boolean", default: false, help: "train the teacher too" },
  teacher_out: {
    type: "string",
    writes: "checkpoint",
    needs: "online",
    help: "where the trained teacher goes",
    value: "OUT",
  },
} as const satisfies Options;

/** The teacher's loss of every row (n), the student held fixed. `values` are the method's. */
export type TeacherLoss<V> = (rec: Recorder, rows: TeacherRows & { readonly values: V }) => Tensor;

/**
 * Lets --online train the teacher, with a loss that the method gives.
 *
 *   needs: [trainedTeacher((rec, { teacher, targets }) => crossEntropy(rec, teacher, targets))]
 */
export const trainedTeacher = <V>(
  loss: TeacherLoss<V>,
): DistillCapability<typeof OPTIONS, Values<typeof OPTIONS> & V> => ({
  name: "trained-teacher",
  options: OPTIONS,
  begin(values, { named }) {
    const { online, teacher_out: target } = values;
    if (!online) return undefined;
    if (named[0] === "self" || target === undefined)
      throw new UserError(
        "--online needs --teacher-out, and a teacher that is not the student itself",
        "say where the trained teacher goes",
      );
    return {
      trainsTeachers: true,
      teacherRows: (rec, rows) => loss(rec, { ...rows, values }),
      async end({ models: [model], checkpoints: [checkpoint], lineage }) {
        if (!model || !checkpoint) return;
        await saveModel(model, target, { files: checkpoint.files, lineage: ofSecondResult(lineage, "teacher_out") });
      },
    };
  },
});
