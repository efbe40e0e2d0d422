/** What the `distill` script does: a student learns in the training loop what teachers say. */
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { bind } from "../method/bind.ts";
import { runTraining } from "../run/training/training.ts";
import { batchesOf } from "../train/command.ts";
import { chooseRoles } from "./choices.ts";
import type { DISTILL } from "./options.ts";
import { checkSamples } from "./sampled.ts";
import type { OpenTeachers } from "./teachers.ts";
import { openTeachers, setUpTraining } from "./training.ts";

export async function distill(context: Context<typeof DISTILL, "distill">): Promise<Outcome> {
  const { options } = context;
  const choices = await chooseRoles(context, context.args, bind(context.method!, context.settings));
  let teachers: OpenTeachers;
  return runTraining<Batch>(context, {
    script: "distill",
    method: choices.chosen.method.name,
    model: choices.student,
    role: "student",
    read: () => teachers.read,
    data: async (setup) => {
      teachers = await openTeachers(context, choices, setup);
      const { pack } = teachers.refuses;
      if (options.pack && pack) throw new UserError(...pack);
      checkSamples(choices.shares, teachers, { pack: options.pack, isText: setup.tools !== undefined });
      const batches = await batchesOf(context, setup);
      if ("data" in batches) teachers.check?.(batches.data.sequences);
      return batches;
    },
    work: (setup) => setUpTraining(context, choices, teachers, setup),
  });
}
